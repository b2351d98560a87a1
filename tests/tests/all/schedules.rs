//! Schedules with the real binary and a steered clock: starts, skipped starts and waiting starts, across pauses, kills and
//! downtime; and ten thousand schedules that are due in the same second.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use expect_test::expect;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{
    answers_text,
    api::Api,
    folder::DataFolder,
    guests::Way,
    host::{Host, Options},
    probe::{DONE, Kind, Probe, Step, Undo},
};

const HOUR_MS: u64 = 3_600_000;

/// A host whose day begins at ten past noon, whenever the tests run. A test lets minutes and hours pass, and a schedule that is due
/// at a time of day would be due in them on a machine that runs the tests shortly before that time: this was seen once, at 02:10 UTC.
fn host() -> Host {
    let noon = jiff::Timestamp::now().in_tz("UTC").and_then(|now| now.date().tomorrow()).unwrap().at(12, 10, 0, 0).in_tz("UTC");
    let clock_ms = u64::try_from(noon.unwrap().timestamp().duration_since(jiff::Timestamp::now()).as_millis()).unwrap();
    Host::start(DataFolder::with_modules(Way::Plain), Options { clock_ms, ..Options::default() })
}

fn path(name: &str) -> String {
    format!("/v1/schedules/{name}")
}

#[track_caller]
fn put(api: &Api, name: &str, body: &Value) -> Value {
    api.put(&path(name), body.to_string().as_bytes()).expect(201)
}

fn ms(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Moves the clock to the next moment of a schedule, and some seconds past it.
fn to_next(host: &mut Host, name: &str) {
    let shown = host.api().get(&path(name)).expect(200);
    let ahead = ms(&shown["next"][0]) - ms(&shown["as_of"]);
    host.advance_ms(u64::try_from(ahead).unwrap() + 5_000);
}

/// The schedule, once it is as wanted.
#[track_caller]
fn until(api: &Api, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let shown = api.get(&path(name)).expect(200);
        if wanted(&shown) {
            return shown;
        }
        assert!(began.elapsed() < crate::harness::api::PATIENCE, "it does not come to it: {shown}");
    }
}

fn fired(times: u64) -> impl Fn(&Value) -> bool {
    move |shown| shown["fired"] == times
}

fn missed(times: u64) -> impl Fn(&Value) -> bool {
    move |shown| shown["missed"] == times
}

fn started(shown: &Value) -> String {
    shown["last_fired"]["saga"].as_str().unwrap().to_owned()
}

#[test]
fn a_saga_is_started_at_its_time_after_its_delay_and_by_its_expression_once_each_also_over_a_kill() {
    let mut host = host();
    let order = |when: Value| {
        let mut body = json!({"saga": "order", "input": {"order_id": "o-1"}});
        body.as_object_mut().unwrap().extend(when.as_object().unwrap().clone());
        body
    };
    let delayed = put(&host.api(), "delayed", &order(json!({"after": "30m", "id": "O-30"})));
    let at = delayed["at"].as_str().unwrap();
    put(&host.api(), "timed", &order(json!({"at": at})));
    put(&host.api(), "nightly", &order(json!({"cron": "30 3 * * *", "zone": "europe/berlin", "catch_up": "2h"})));
    host.advance_ms(30 * 60_000);
    let delayed = until(&host.api(), "delayed", fired(1));
    assert_eq!((&delayed["status"], started(&delayed)), (&json!("over"), "O-30".to_owned()));
    let timed = started(&until(&host.api(), "timed", fired(1)));
    assert!(timed.starts_with("timed:20") && timed.ends_with('Z'), "{timed}");
    for id in ["O-30", timed.as_str()] {
        assert_eq!(host.api().run("order", id, &json!({"order_id": "o-1"}))["status"], "completed");
    }
    host.kill();
    host.restart();
    to_next(&mut host, "nightly");
    let nightly = until(&host.api(), "nightly", |shown| shown["fired"] == 1);
    assert_eq!(nightly["zone"], "Europe/Berlin");
    let due = ms(&nightly["last_fired"]["due"]);
    let there = jiff::Timestamp::from_millisecond(due).unwrap().in_tz("Europe/Berlin").unwrap();
    assert_eq!(there.strftime("%H:%M").to_string(), "03:30");
    assert_eq!(nightly["next"].as_array().unwrap().len(), 5);
    for name in ["delayed", "timed"] {
        assert_eq!(host.api().get(&path(name)).expect(200)["fired"], 1, "{name}");
    }
    assert_eq!(host.api().metric("amends_schedules_fired_total"), 1.0, "since the kill");
}

#[test]
fn a_paused_schedule_misses_what_is_due_and_a_trigger_starts_one_now() {
    let mut host = host();
    let body = json!({"saga": "order", "cron": "@hourly", "paused": true});
    assert_eq!(put(&host.api(), "hourly", &body)["status"], "paused");
    host.advance_ms(3 * HOUR_MS);
    let by_hand = host.api().post("/v1/schedules/hourly/trigger", &json!({"note": "now"})).expect(200);
    assert_eq!(host.api().run("order", &started(&by_hand), &json!({}))["status"], "completed");
    assert_eq!(host.api().saga(&started(&by_hand))["started_by"], json!({"kind": "schedule", "name": "hourly"}));
    let resumed = host.api().post("/v1/schedules/hourly/resume", &json!({})).expect(200);
    let counts = |shown: &Value| (shown["status"].clone(), shown["fired"].clone(), shown["missed"].clone());
    assert_eq!(counts(&resumed), (json!("active"), json!(1), json!(3)));
    assert_eq!(resumed["last_missed"]["code"], "paused");
    assert_eq!(resumed["by"], "tester");
    assert_eq!(host.api().metric("amends_schedules_missed_total"), 3.0);
    to_next(&mut host, "hourly");
    until(&host.api(), "hourly", fired(2));
}

#[test]
fn a_start_that_overlaps_is_missed_or_waits_for_the_end() {
    let mut host = host();
    let body =
        |overlap: &str| json!({"saga": "approval", "cron": "@hourly", "overlap": overlap, "input": {"decide_within_s": 864_000}});
    put(&host.api(), "skips", &body("skip"));
    put(&host.api(), "queues", &body("queue"));
    to_next(&mut host, "skips");
    let first = started(&until(&host.api(), "queues", fired(1)));
    until(&host.api(), "skips", fired(1));
    to_next(&mut host, "skips");
    let skips = until(&host.api(), "skips", missed(1));
    assert_eq!((&skips["fired"], &skips["last_missed"]["code"]), (&json!(1), &json!("overlap")));
    let queues = until(&host.api(), "queues", |shown| shown["waiting"].is_object());
    assert_eq!(queues["waiting"]["message"], format!("saga {first}, which it started before, had not ended"));
    host.kill();
    host.restart();
    host.api().post(&format!("/v1/sagas/{first}/signals/approval"), &json!({"approved": true})).expect(202);
    let queues = until(&host.api(), "queues", fired(2));
    assert_ne!(started(&queues), first);
    assert!(queues["waiting"].is_null());
}

#[test]
fn what_was_due_while_the_host_was_down_is_started_in_its_window_and_else_missed() {
    let mut host = host();
    let body = |catch_up: &str| json!({"saga": "order", "cron": "@hourly", "overlap": "allow", "catch_up": catch_up});
    put(&host.api(), "patient", &body("1d"));
    put(&host.api(), "strict", &body("10s"));
    host.kill();
    host.restart_later_ms(5 * HOUR_MS);
    let patient = until(&host.api(), "patient", fired(5));
    assert_eq!(patient["missed"], 0);
    let strict = until(&host.api(), "strict", |shown| shown["missed"].as_u64() >= Some(4));
    assert_eq!(strict["last_missed"]["code"], "late");
}

#[test]
fn a_start_that_cannot_be_now_is_tried_again_until_it_can() {
    let mut host = Host::start(DataFolder::empty(), Options::default());
    let module = probe(&Probe::execute(DONE));
    host.api().put("/v1/modules/probe", &module).expect(201);
    put(&host.api(), "soon", &json!({"saga": "probe", "after": "10s"}));
    // Another version without the saga's name: it is not there any more.
    let other = probe(&Probe { saga: "other".to_owned(), ..Probe::execute(DONE) });
    host.api().put("/v1/modules/probe", &other).expect(201);
    host.advance_ms(10_000);
    let waits = until(&host.api(), "soon", |shown| shown["waiting"].is_object());
    assert_eq!((&waits["waiting"]["code"], &waits["fired"]), (&json!("definition_not_found"), &json!(0)));
    host.api().post("/v1/modules/probe/activate", &json!({"version": 1})).expect(200);
    host.advance_ms(60_000);
    until(&host.api(), "soon", fired(1));
}

#[test]
fn a_schedule_that_can_never_start_anything_is_refused_and_leaves_nothing() {
    let host = host();
    let api = host.api();
    let refused = |body: Value| api.put(&path("nightly"), body.to_string().as_bytes()).error();
    let answers = [
        ("a day that no month has", refused(json!({"saga": "order", "cron": "0 0 30 2 *"}))),
        ("a field too many", refused(json!({"saga": "order", "cron": "0 0 3 * * *"}))),
        ("no such zone", refused(json!({"saga": "order", "cron": "@daily", "zone": "Europe/Berlim"}))),
        ("a zone without an expression", refused(json!({"saga": "order", "after": "1h", "zone": "UTC"}))),
        ("a time that is past", refused(json!({"saga": "order", "at": "2020-01-01T00:00:00Z"}))),
        ("no such saga", refused(json!({"saga": "odrer", "cron": "@daily"}))),
        ("nothing that says when", refused(json!({"saga": "order"}))),
        ("two that do", refused(json!({"saga": "order", "cron": "@daily", "after": "1h"}))),
        ("no duration", refused(json!({"saga": "order", "after": "soon"}))),
        ("a name", api.put(&path("Nightly"), b"{}").error()),
        ("none to pause", api.post(&format!("{}/pause", path("nightly")), &json!({})).error()),
    ];
    expect![[r#"
        a day that no month has
          422 never_fires: `0 0 30 2 *` never fires: it names a day that no month has
          hint: choose a day that the month has; `0 0 28 2 *` fires once a year
        a field too many
          422 bad_cron: `0 0 3 * * *` is no cron expression: it needs five fields: minute, hour, day of month, month and day of week
          hint: write it as `0 3 * * mon-fri`: minute, hour, day of month, month, day of week
        no such zone
          422 unknown_zone: there is no time zone `Europe/Berlim`
          hint: did you mean Europe/Berlin?
        a zone without an expression
          400 bad_request: `zone` goes with `cron`
          hint: write the zone's offset into `at`, as 2026-11-22T03:00:00+01:00
        a time that is past
          422 time_passed: that moment is past: nothing would ever be started
          hint: give a later one, or start the saga now: amends start
        no such saga
          404 definition_not_found: no saga `odrer` is deployed in namespace `default`
          hint: did you mean `order`?
        nothing that says when
          400 bad_request: give exactly one of `at`, `after` and `cron`
        two that do
          400 bad_request: give exactly one of `at`, `after` and `cron`
        no duration
          400 bad_request: after `soon` is no duration
          hint: write it as 30s, 10m or 2h
        a name
          400 bad_name: bad name "Nightly": use 1 to 63 of a-z, 0-9 and -, beginning with a letter
        none to pause
          404 schedule_not_found: there is no schedule `nightly` in namespace `default`
          hint: look for it: amends schedule list
    "#]].assert_eq(&answers_text(answers));
    assert_eq!(api.get("/v1/schedules").expect(200), json!({"schedules": []}));
}

#[test]
fn the_command_line_makes_shows_and_removes_schedules() {
    let host = host();
    let at = "2999-12-24T18:00:00Z";
    let made = host.cli(&["schedule", "add", "xmas", "order", "--at", at, "--jitter", "5m", "--note", "as ever"]);
    assert_eq!(made.code, 0, "{made:?}");
    // What is left does not depend on when the test runs.
    let without_moments = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("  next") && !line.starts_with("  when"));
        let line = |line: &str| match line.strip_prefix("  changed").and_then(|changed| changed.split_once(", ")) {
            Some((_, by)) => format!("  changed {by}\n"),
            None => format!("{line}\n"),
        };
        lines.map(line).collect::<String>()
    };
    let mut transcript = without_moments(&made.stdout) + &made.stderr;
    for line in [
        "schedule add xmas order --at 2999-12-24T18:00:00Z --jitter 5m",
        "schedule pause xmas",
        "schedule show xmas",
        "schedule remove xmas",
        "schedule list",
    ] {
        let output = host.cli(&line.split(' ').collect::<Vec<_>>());
        transcript += &format!("$ amends {line}\n{}{}", without_moments(&output.stdout), output.stderr);
    }
    let refused = host.cli(&["schedule", "add", "never", "order", "--cron", "0 0 31 4 *"]);
    transcript += &format!("exit {}: {}", refused.code, refused.stderr);
    expect![[r#"
        xmas  active  starts order
          rules    skips a start while the previous saga runs, up to 5m later than its moment, late by at most 1h
          changed by tester: as ever
        look at it again with `amends schedule show xmas`
        $ amends schedule add xmas order --at 2999-12-24T18:00:00Z --jitter 5m
        xmas  active  starts order
          rules    skips a start while the previous saga runs, up to 5m later than its moment, late by at most 1h
          changed by tester: as ever
        there was a schedule `xmas`; this is what it is now, at revision 1
        $ amends schedule pause xmas
        xmas  paused  starts order
          rules    skips a start while the previous saga runs, up to 5m later than its moment, late by at most 1h
          changed by tester
        $ amends schedule show xmas
        xmas  paused  starts order
          rules    skips a start while the previous saga runs, up to 5m later than its moment, late by at most 1h
          changed by tester
        $ amends schedule remove xmas
        removed xmas; what it started goes on: `amends list --saga order`
        $ amends schedule list
        there are no schedules yet; `amends schedule add NAME SAGA --cron EXPRESSION` makes one
        exit 1: amends: `0 0 31 4 *` never fires: it names a day that no month has; choose a day that the month has; `0 0 28 2 *` fires once a year
    "#]].assert_eq(&transcript);
}

fn probe(probe: &Probe) -> Vec<u8> {
    let poke = Step::new("poke", Kind::Retriable, Undo::None);
    Probe { steps: vec![poke], ..probe.clone() }.component()
}

/// Does something for each number below `count`, in four threads.
fn each(api: &Api, count: usize, act: impl Fn(&Api, usize) + Clone + Send + 'static) {
    let threads = (0..4).map(|thread| {
        let (api, act) = (api.clone(), act.clone());
        thread::spawn(move || (thread..count).step_by(4).for_each(|number| act(&api, number)))
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
}

/// All pages of something, once each page is as wanted.
fn pages(api: &Api, what: &str, list: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    let began = Instant::now();
    loop {
        let page = api.get(&format!("{what}limit=1000{cursor}")).expect(200);
        let lines = page[list].as_array().unwrap();
        if !wanted(lines) {
            assert!(began.elapsed() < crate::harness::api::PATIENCE, "a page does not come to it: {}", lines[0]);
            continue;
        }
        all.extend(lines.iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn ten_thousand_schedules_of_one_second_are_started_once_each_and_the_api_answers_meanwhile() {
    const SCHEDULES: usize = 10_000;
    let began = Instant::now();
    let mut host = Host::start(DataFolder::empty(), Options::default());
    let api = host.api();
    api.put("/v1/modules/probe", &probe(&Probe::execute(DONE))).expect(201);
    put(&api, "s0", &json!({"saga": "probe", "after": "1h"}));
    let at = api.get(&path("s0")).expect(200)["at"].clone();
    let body = json!({"saga": "probe", "at": at}).to_string();
    each(&api, SCHEDULES - 1, move |api, number| {
        api.put(&path(&format!("s{}", number + 1)), body.as_bytes()).expect(201);
    });
    let made = began.elapsed().as_secs_f64();
    host.advance_ms(HOUR_MS);
    let due = Instant::now();
    while host.api().metric("amends_schedules_fired_total") < 1_000.0 {}
    host.kill();
    let before = due.elapsed().as_secs_f64();
    host.restart();
    let again = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = {
        let (api, is_over) = (host.api(), Arc::clone(&is_over));
        thread::spawn(move || {
            let (mut asked, mut longest_ms) = (0, 0);
            while !is_over.load(Ordering::SeqCst) {
                let began = Instant::now();
                api.start("probe", &format!("R{asked}"), &json!({})).expect(201);
                longest_ms = longest_ms.max(began.elapsed().as_millis());
                asked += 1;
            }
            (asked, longest_ms)
        })
    };
    let api = host.api();
    let is_done = |schedule: &Value| schedule["status"] == "over";
    let schedules = pages(&api, "/v1/schedules?", "schedules", |page| page.iter().all(is_done));
    let took = again.elapsed().as_secs_f64();
    is_over.store(true, Ordering::SeqCst);
    let (asked, longest_ms) = asking.join().unwrap();
    assert_eq!(schedules.len(), SCHEDULES);
    let once = schedules.iter().all(|schedule| schedule["fired"] == 1 && schedule["missed"] == 0);
    assert!(once, "{:?}", schedules.iter().find(|schedule| schedule["fired"] != 1));
    let ended = |page: &[Value]| page.iter().all(|saga| saga["status"] == "completed");
    let sagas = pages(&api, "/v1/sagas?saga=probe&", "sagas", ended);
    let of_schedules = sagas.iter().map(|saga| saga["id"].as_str().unwrap().to_owned()).filter(|id| id.starts_with('s'));
    let ids: Vec<String> = of_schedules.collect();
    let named: BTreeSet<String> = schedules.iter().map(started).collect();
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (SCHEDULES, named));
    println!(
        "{SCHEDULES} schedules: made in {made:.1}s, killed {before:.1}s after they were due, all started {took:.1}s after the \
         restart; {asked} requests meanwhile, the longest {longest_ms} ms"
    );
    assert!(asked > 0);
    let gone = api.write(Method::DELETE, &path("s0"), b"").expect(200);
    assert_eq!(gone["status"], "over");
}
