//! Many sagas at once: new versions under load, and ten thousand that wait.

use std::{sync::mpsc::channel, thread};

use serde_json::{Value, json};

use crate::harness::{
    api::Api,
    each,
    folder::DataFolder,
    guests::{Way, guest},
    host::{Host, Options},
    laws,
};

/// How many sagas are live on each version of a module.
fn in_flight(api: &Api, module: &str) -> Vec<u64> {
    let module = api.get(&format!("/v1/modules/{module}")).expect(200);
    module["versions"].as_array().unwrap().iter().map(|version| version["in_flight"].as_u64().unwrap()).collect()
}

#[test]
fn xr_25_versions_change_while_a_thousand_sagas_run() {
    const SAGAS: usize = 1_000;
    let host = Host::start(DataFolder::with_modules(Way::Plain), Options::default());
    let api = host.api();
    // Every 40th start asks for a change, and does not wait for it.
    let (ask, asked) = channel();
    let starting = {
        let api = api.clone();
        thread::spawn(move || {
            each(&api, SAGAS, move |api, number| {
                let started = api.start("approval", &format!("R{number}"), &json!({})).expect(201);
                assert!(started["version"] == 1 || started["version"] == 2, "{started}");
                if number % 40 == 0 {
                    ask.send(()).unwrap();
                }
            });
        })
    };
    let mut changes = 0;
    for () in asked {
        match changes {
            0 => drop(api.put("/v1/modules/approval", &guest(Way::Plain, "approval-v2")).expect(201)),
            odd if odd % 2 == 1 => drop(api.post("/v1/modules/approval/activate", &json!({"previous": true})).expect(200)),
            _ => drop(api.post("/v1/modules/approval/activate", &json!({"version": 2})).expect(200)),
        }
        changes += 1;
    }
    starting.join().unwrap();
    assert!(changes >= 20, "{changes} changes");
    let flying = in_flight(&api, "approval");
    assert_eq!(flying.iter().sum::<u64>(), SAGAS as u64);
    assert!(flying.iter().all(|sagas| *sagas > 0), "both versions were started on: {flying:?}");
    assert_eq!(api.metric("amends_starts_blocked_on_module_total"), 0.0);

    let modules = api.get("/v1/modules/approval").expect(200);
    let digests: Vec<Value> = modules["versions"].as_array().unwrap().iter().map(|version| version["digest"].clone()).collect();
    each(&api, SAGAS, move |api, number| {
        let id = format!("R{number}");
        api.post(&format!("/v1/sagas/{id}/signals/approval"), &json!({"approved": true, "by": "ada"})).expect(202);
        let saga = api.run("approval", &id, &json!({}));
        assert_eq!(saga["status"], "completed", "{saga}");
        // The code that ran says which it is, and the journal which it was to be.
        assert_eq!(saga["output"]["version"], saga["version"]);
        let version = usize::try_from(saga["version"].as_u64().unwrap()).unwrap();
        assert_eq!(saga["digest"], digests[version - 1]);
        let journal = api.journal(&id);
        let started: Vec<&Value> = journal.iter().filter_map(|record| record.get("started")).collect();
        let [started] = started[..] else { panic!("not one digest: {started:?}") };
        assert_eq!((&started["digest"], &started["version"]), (&saga["digest"], &saga["version"]));
    });
    assert_eq!(in_flight(&api, "approval"), [0, 0]);
    assert_eq!(api.metric("amends_starts_blocked_on_module_total"), 0.0);
    laws::hold(&api, "R0");
    laws::hold(&api, "R999");
}

#[test]
fn ten_thousand_waiting_sagas_take_no_memory_and_are_there_after_a_kill() {
    const SAGAS: usize = 10_000;
    const FIRST: usize = 200;
    // The store's cache takes what it may, whatever is in it, and would hide here what a saga takes; with its default of 64 MiB it
    // grows by some 16 MiB in this test.
    let small_cache = Options::default().with("AMENDS_STORE_CACHE", "1MiB");
    let mut host = Host::start(DataFolder::with_modules(Way::Plain), small_cache);
    let input = json!({"decide_within_s": 86_400});
    let start = move |api: &Api, number: usize| drop(api.start("approval", &format!("R{number}"), &input).expect(201));
    // What a host needs for its threads, connections and first pages is not what is asked about.
    let begin = start.clone();
    each(&host.api(), FIRST, move |api, number| begin(api, SAGAS + number));
    let before = host.memory_kib("VmRSS");
    each(&host.api(), SAGAS, start);
    let after = host.memory_kib("VmRSS");
    let grown = after.saturating_sub(before);
    host.kill();
    let ready = host.restart().clone();
    // How fast it is ready is measured by `cargo xtask bench`, on a machine that does nothing else.
    println!("{SAGAS} waiting sagas: {grown} KiB more than {before} KiB; ready again in {}s", ready.seconds);
    assert!(grown < 16 << 10, "{grown} KiB more than {before} KiB");
    assert_eq!(ready.recovered, SAGAS as u64 + FIRST as u64);
    // One that was killed on its way to its wait runs for a moment.
    assert_eq!(host.api().metric("amends_sagas_live"), (SAGAS + FIRST) as f64);
    // They still wait, and go on.
    let waiting = host.api().get("/v1/sagas?status=waiting&limit=1").expect(200);
    assert_eq!(waiting["sagas"].as_array().unwrap().len(), 1);
    host.api().post("/v1/sagas/R77/signals/approval", &json!({"approved": true, "by": "ada"})).expect(202);
    host.api().until_type("R77", "completed");
    host.advance_ms(86_400_000);
    host.api().until_type("R78", "compensated");
}
