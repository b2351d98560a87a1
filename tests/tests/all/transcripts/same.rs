//! What differs between two runs of the same command, replaced by a word for it. Everything else must be equal.

use std::sync::LazyLock;

use regex::Regex;

/// A pattern, and what stands for it. They are applied in this order.
const DIFFERS: &[(&str, &str)] = &[
    // Moments: `2026-11-22T07:17:44.173Z`, `07:17:44.173`, `2026-11-22 02:30`, `02:30`, and those in the ids of schedules.
    (r"(\b\d{4}-\d\d-\d\d[T ]|\b)\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\b( [A-Z][a-z]+/[A-Z][a-z]+)?)", "TIME"),
    (r"\b\d{8}T\d{6}Z", "TIME"),
    (r"\b\d{4}-\d\d-\d\d\b", "DATE"),
    // How long something took, how long ago it was, and in how long it will be.
    (
        r"\b(took|done|undone|undoing|running|waited|attempts,|in|within) \d+(\.\d+)?(ms|s|m|h|d)( \d+(ms|s|m|h))*\b",
        "$1 DURATION",
    ),
    (r"\b(\d+(\.\d+)?(ms|s|m|h|d)( \d+(ms|s|m|h))* ago|just now)\b", "AGO"),
    (r"\+\d+(\.\d+)?(ms|s|m|h|d)( \d+(ms|s|m|h))*", "LATER"),
    // Digests and sizes of modules, ids that the host makes.
    (r"\b[0-9a-f]{12}\b", "DIGEST"),
    (r"\b\d+\.\d [KM]iB\b", "SIZE"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ID"),
    // Positions: how many records there are depends on what was tried again.
    (r"\b0-\d-\d+\b", "POSITION"),
    // Columns are as wide as what is in them.
    (r"[ ─]{2,}", "  "),
    (r"(?m) +$", ""),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| DIFFERS.iter().map(|(pattern, word)| (Regex::new(pattern).unwrap(), *word)).collect());

/// A text in which nothing differs between two runs.
pub(super) fn same(text: &str) -> String {
    PATTERNS.iter().fold(text.trim_end().to_owned(), |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}

#[test]
fn what_differs_between_two_runs_is_replaced_and_nothing_else() {
    let shown = "trip T4  stuck  no_car   trip v1 (0a86a49d89d8)  started 07:17:29  3s ago
├─ reserve-flight   done, 2 attempts, 1s (host_stopped)
├─ reserve-hotel    done 2ms    ↩ stuck, 5 attempts (failed ×5)
├─ decide     waiting    waits for event approval/R1 until 08:17:41 (in 1h)
  next     2026-11-24 02:30 Europe/Berlin (in 1d), then 2026-11-25 02:30
  started  nightly:20261123T013000Z, just now; 1 in all
  attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%
amends 0.1.0 ready on http://127.0.0.1:8420 data=./amends-data recovered=1 in 0.02s
uploading order.wasm (216.3 KiB); event R1/18d579473faedbbdbd76e479df11d98c woke 1 saga, price 870.00
customer C1  accepted  revision 1  position 0-1-445
└─ event customer/C1/2  ←    +1m 5s   credit v1, all within 1.3s
amends: saga T5 completed at 2026-11-30T04:01:05Z, and R4 is kept until 2026-11-29 07:17:44";
    expect_test::expect![[r"
        trip T4  stuck  no_car  trip v1 (DIGEST)  started TIME  AGO
        ├  reserve-flight  done, 2 attempts, DURATION (host_stopped)
        ├  reserve-hotel  done DURATION  ↩ stuck, 5 attempts (failed ×5)
        ├  decide  waiting  waits for event approval/R1 until TIME (in DURATION)
          next  TIME (in DURATION), then TIME
          started  nightly:TIME, AGO; 1 in all
          attempts: 30s each, no limit within 1day, 200ms apart ×2 up to 1m ±20%
        amends 0.1.0 ready on http://127.0.0.1:8420 data=./amends-data recovered=1 in DURATION
        uploading order.wasm (SIZE); event R1/ID woke 1 saga, price 870.00
        customer C1  accepted  revision 1  position POSITION
        └  event customer/C1/2  ←  LATER  credit v1, all within DURATION
        amends: saga T5 completed at TIME, and R4 is kept until TIME
    "]]
    .assert_eq(&format!("{}\n", same(shown)));
}
