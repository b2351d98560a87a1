use amends_core::{
    event::Act,
    schedule::{Fired, Missed, Overlap, Reason, Spec, Waiting, When},
};
use expect_test::expect;

use super::*;

/// Data folders hold such rows: later builds read them.
#[test]
fn a_schedules_row_keeps_its_bytes() {
    let moment = Instant(1_800_000_000_000);
    let reason = Reason::Overlap { saga: "T1".into() };
    let schedule = Schedule {
        spec: Spec {
            saga: "trip".into(),
            when: When::Cron { expression: "@daily".into(), zone: "UTC".into() },
            id: Some("T1".into()),
            overlap: Overlap::Queue,
            jitter_ms: 5,
            catch_up_ms: 300,
            input_hash: [0x44; 32],
            incarnation: [0x33; 16],
        },
        stream: 17,
        revision: 4,
        position: 23,
        made_at: 18,
        since: moment,
        act: Act { note: "as ever".into(), by: "ada".into() },
        key: Some("k-1".into()),
        paused: true,
        next: Some(moment),
        waiting: Some(Waiting { due: moment, until: None, tries: 1, opens_at: moment, reason: reason.clone() }),
        saga: Some("T1".into()),
        last_due: Some(moment),
        last_fired: Some(Fired { due: None, at: moment, saga: "T1".into() }),
        last_missed: Some(Missed { due: moment, at: moment, count: 3, reason }),
        fired: 300,
        missed: 3,
    };
    let row = row::encode(&schedule);
    let lines = row.chunks(32).map(|bytes| hex::encode(bytes) + "\n");
    expect![[r#"
        0104747269700206406461696c7903555443010254310105ac02444444444444
        4444444444444444444444444444444444444444444444444444333333333333
        333333333333333333331104171280a0f1c2b134076173206576657203616461
        01036b2d31010180a0f1c2b1340180a0f1c2b134000180a0f1c2b13401025431
        010254310180a0f1c2b134010080a0f1c2b1340254310180a0f1c2b13480a0f1
        c2b1340301025431ac0203
    "#]]
    .assert_eq(&lines.collect::<String>());
    assert_eq!(row::decode::<Schedule>(&row, "a schedule").ok(), Some(schedule));
}
