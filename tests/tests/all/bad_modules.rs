//! Bad modules: an error that names the fault and the remedy, and nothing is stored.

use std::{collections::BTreeMap, fs};

use expect_test::expect;
use serde_json::{Value, json};

use crate::harness::{
    answers_text,
    api::Api,
    folder::{DataFolder, in_memory},
    guests::{Way, guest},
    host::{Host, Options, cli},
    probe::{DONE, Kind, Probe, Step, Undo},
};

fn host() -> Host {
    Host::start(DataFolder::with_modules(Way::Plain), Options::default())
}

/// The errors that a deploy of these bytes gets, under the name `probe`.
fn deployed(api: &Api, bytes: &[u8]) -> String {
    api.put("/v1/modules/probe", bytes).error()
}

/// After whatever was refused: the same modules, nothing new on the disk, and new work is taken.
fn assert_unharmed(host: &Host, modules: &Value, files: usize) {
    assert_eq!(host.api().get("/v1/modules").expect(200), *modules);
    assert_eq!(stored(host), files);
    assert_eq!(host.api().run("order", "unharmed", &json!({}))["status"], "completed");
}

fn stored(host: &Host) -> usize {
    fs::read_dir(host.folder.path().join("modules")).unwrap().count()
}

#[test]
fn bytes_that_are_no_module_are_refused() {
    let host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let order = guest(Way::Plain, "order");
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let unknown = wat("(component (import \"wasi:keyvalue/store@0.2.0\" (instance)) (import \"env\" (func)))");
    let precompiled = [b"\x7fELF\x02\x01\x01\x00".as_slice(), &[0; 4096]].concat();
    let found = answers_text([
        ("nothing", deployed(&api, b"")),
        ("text", deployed(&api, b"(component)")),
        ("a truncated component", deployed(&api, &order[..order.len() / 2])),
        ("the first bytes of one", deployed(&api, &order[..6])),
        ("a core module", deployed(&api, &wat("(module)"))),
        ("compiled code", deployed(&api, &precompiled)),
        ("a component of another world", deployed(&api, &wat("(component)"))),
        ("a component with unknown imports", deployed(&api, &unknown)),
        ("a component under another name", deployed(&api, &order)),
        ("a component that is too large", deployed(&api, &vec![0; (16 << 20) + 1])),
    ]);
    // Where a cut component ends depends on the compiler that built it.
    let found: String = found
        .lines()
        .map(|line| line.split_once(": section range ").map_or(line, |(before, _)| before))
        .fold(String::new(), |text, line| text + line + "\n");
    expect![[r#"
        nothing
          400 bad_request: the body is empty
          hint: send the bytes of a component
        text
          422 text_wasm: this is WebAssembly text
          hint: make it binary with `wasm-tools parse FILE -o FILE.wasm`
        a truncated component
          422 truncated: the component is cut off: failed to parse WebAssembly module: wasm component contains an invalid module section
          hint: copy or build it again
        the first bytes of one
          422 truncated: the file ends after 6 bytes
          hint: copy or build it again
        a core module
          422 core_module: this is a core WebAssembly module, and Amends runs components
          hint: build it with `amends build`, or with `cargo build --release --target wasm32-wasip2`
        compiled code
          422 precompiled: this is machine code (a precompiled .cwasm or an ELF file), which is never accepted
          hint: deploy the .wasm that it was made from; the host compiles it
        a component of another world
          422 no_saga_export: the component exports nothing; a module exports amends:module/saga@0.1.0, amends:module/aggregate@0.1.0, amends:module/projection@0.1.0 or amends:module/policy@0.1.0
          hint: call `amends_sdk::export!` in it, or target the world `amends:module/saga-module`
        a component with unknown imports
          422 unknown_import: the component imports what no host of Amends offers: wasi:keyvalue/store@0.2.0, env
          hint: a module may import amends:module@0.1 and wasi:{io,cli,clocks,random,filesystem,sockets,http}@0.2; remove the dependency that needs more
        a component under another name
          422 name_mismatch: the component names itself `order`, not `probe`
          hint: deploy it as `order`, or change the name in its source
        a component that is too large
          413 payload_too_large: the component is larger than 16777216 bytes
          hint: strip it (`strip = true` and `opt-level = "s"` in its profile), or raise `wasm` in [limits]
    "#]].assert_eq(&found);
    assert_unharmed(&host, &modules, files);
}

/// However much of a component arrives, it is refused, and nothing is left of it.
#[test]
fn a_component_cut_anywhere_is_refused() {
    let host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let whole = Probe::execute(DONE).component();
    let mut codes = BTreeMap::new();
    for end in (0..whole.len()).step_by(whole.len() / 40) {
        *codes.entry(api.put("/v1/modules/probe", &whole[..end]).code()).or_insert(0) += 1;
    }
    // What is cut between two sections is a component, of another world.
    let others: Vec<_> = codes.iter().filter(|(code, _)| *code != "422 truncated" && *code != "422 no_saga_export").collect();
    assert_eq!(others, [(&"400 bad_request".to_owned(), &1)], "nothing at all is no component");
    assert!(codes["422 truncated"] > 30, "{codes:?}");
    assert_unharmed(&host, &modules, files);
}

#[test]
fn definitions_that_break_the_rules_are_refused_with_every_reason() {
    let host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let compensatable = |name: &str| Step::new(name, Kind::Compensatable, Undo::Code);
    let pivot = |name: &str| Step::new(name, Kind::Pivot, Undo::None);
    let retriable = |name: &str| Step::new(name, Kind::Retriable, Undo::None);
    let steps = |steps: Vec<Step>| deployed(&api, &Probe::steps(steps).component());
    let describe = |body: &str| Probe { describe: Some(body.to_owned()), ..Probe::execute(DONE) }.component();
    let named = |module: &str, saga: &str, step: &str| {
        let probe = Probe { module: module.to_owned(), saga: saga.to_owned(), ..Probe::steps(vec![compensatable(step)]) };
        deployed(&api, &probe.component())
    };
    let schema = |text: &str| deployed(&api, &Probe { schema: Some(text.to_owned()), ..Probe::execute(DONE) }.component());
    let long = "a".repeat(300);
    let found = answers_text([
        ("a compensatable step after the pivot", steps(vec![pivot("pay"), compensatable("reserve")])),
        ("two pivots", steps(vec![pivot("pay"), pivot("ship")])),
        ("a pivot after a retriable step", steps(vec![retriable("email"), pivot("pay")])),
        ("a compensatable step without undo", steps(vec![Step::new("reserve", Kind::Compensatable, Undo::None)])),
        ("a retriable step with undo", steps(vec![Step::new("email", Kind::Retriable, Undo::Code)])),
        ("a command of a bad name", steps(vec![Step::command("pay", "Settle!")])),
        ("one name for two steps", steps(vec![compensatable("reserve"), compensatable("reserve")])),
        ("no step", steps(Vec::new())),
        ("a bad module name", named("../probe", "probe", "poke")),
        ("a bad saga name", named("probe", "pr\u{202e}obe", "poke")),
        ("a bad step name", named("probe", "probe", "")),
        ("a long step name", named("probe", "probe", &long)),
        ("a schema that is none", schema(r#"{"properties": {"qty": {"type": "number", "minimum": "one"}}}"#)),
        ("a schema that reads a file", schema(r#"{"$ref": "file:///etc/passwd"}"#)),
        ("a description that traps", deployed(&api, &describe("unreachable"))),
        ("a description that is garbage", deployed(&api, &describe("(i32.const -8)"))),
    ]);
    expect![[r#"
        a compensatable step after the pivot
          422 bad_definition: saga `probe`, step `reserve`: it is compensatable after the pivot `pay`; put it before, or make it retriable
          hint: mend the definition and deploy again; nothing was stored
        two pivots
          422 bad_definition: saga `probe`, step `ship`: it is a second pivot after `pay`; a saga has at most one
          hint: mend the definition and deploy again; nothing was stored
        a pivot after a retriable step
          422 bad_definition: saga `probe`, step `pay`: it is a pivot after the retriable step `email`; put it before
          hint: mend the definition and deploy again; nothing was stored
        a compensatable step without undo
          422 bad_definition: saga `probe`, step `reserve`: it is compensatable and has no compensation; give it one, or say that it leaves nothing to undo
          hint: mend the definition and deploy again; nothing was stored
        a retriable step with undo
          422 bad_definition: saga `probe`, step `email`: it is retriable and has a compensation that can never run; leave it out
          hint: mend the definition and deploy again; nothing was stored
        a command of a bad name
          422 bad_definition: saga `probe`, step `pay`: its command `Settle!`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        one name for two steps
          422 bad_definition: saga `probe`, step `reserve`: an earlier step has this name; names are unique in a saga
          hint: mend the definition and deploy again; nothing was stored
        no step
          422 bad_definition: saga `probe`: it has no stage; add a step
          hint: mend the definition and deploy again; nothing was stored
        a bad module name
          422 bad_definition: module name `../probe`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a bad saga name
          422 bad_definition: saga `pr\u{202e}obe`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a bad step name
          422 bad_definition: saga `probe`, step ``: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a long step name
          422 bad_definition: saga `probe`, step `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: bad name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter
          hint: mend the definition and deploy again; nothing was stored
        a schema that is none
          422 bad_definition: saga `probe`: the schema of its input cannot be used: at /properties/qty/minimum: want number, but got string
          hint: mend the definition and deploy again; nothing was stored
        a schema that reads a file
          422 bad_definition: saga `probe`: the schema of its input cannot be used: `$ref` "file:///etc/passwd" leads nowhere in it; refer with a pointer, as #/$defs/address
          hint: mend the definition and deploy again; nothing was stored
        a description that traps
          422 describe_failed: the module cannot describe itself (trap): the guest panicked or aborted (`unreachable` executed)
          hint: `describe` runs without time, network or grants and returns data only
        a description that is garbage
          422 describe_failed: the module cannot describe itself (trap): pointer out of bounds of memory
          hint: `describe` runs without time, network or grants and returns data only
    "#]].assert_eq(&found);
    assert_unharmed(&host, &modules, files);
}

/// The bytes of a module whose saga's name was taken stayed on the disk for ever, because they are stored before the names are
/// looked at. Nothing shows them, and the next start deletes them.
#[test]
fn a_sagas_name_belongs_to_one_module() {
    let mut host = host();
    let (api, files) = (host.api(), stored(&host));
    let modules = api.get("/v1/modules").expect(200);
    let other = Probe { saga: "order".to_owned(), ..Probe::execute(DONE) };
    let found = deployed(&api, &other.component());
    expect![[r#"
        409 name_taken: saga `order` belongs to module `order` in namespace `default`
          hint: give the saga another name, or use another namespace
    "#]]
    .assert_eq(&found);
    host.restart();
    assert_unharmed(&host, &modules, files);
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    let options = Options::default().with("AMENDS_GUEST_COMPILE_WALL", "20ms");
    let host = Host::start(DataFolder::with_modules(Way::Plain), options);
    let (modules, files) = (host.api().get("/v1/modules").expect(200), stored(&host));
    // Built the other way it has other bytes, which were not compiled before.
    let found = host.api().put("/v1/modules/order", &guest(Way::Component, "order")).error();
    expect![[r#"
        422 compile_limit: compiling it takes over 20ms (`compile_wall` in [guest])
          hint: make its functions fewer and smaller, or raise the limit
    "#]]
    .assert_eq(&found);
    assert_unharmed(&host, &modules, files);
}

#[test]
fn the_command_line_says_the_same_and_exits_with_1() {
    let host = host();
    let folder = in_memory();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let core = file("core.wasm", &wat::parse_str("(module)").unwrap());
    let text = file("text.wat", b"(component)");
    let pivot = vec![Step::new("pay", Kind::Pivot, Undo::None), Step::new("reserve", Kind::Compensatable, Undo::Code)];
    let pivot = Probe::steps(pivot).component();
    // The probe grows with what tests want of it.
    let size = format!("({:.1} KiB)", pivot.len() as f64 / 1_024.0);
    let pivot = file("pivot.wasm", &pivot);
    let large = file("large.wasm", &[b"\0asm\x0d\0\x01\0".as_slice(), &[0; 16 << 20]].concat());
    let missing = folder.path().join("missing.wasm").to_str().unwrap().to_owned();
    let mut found = String::new();
    for file in [&core, &text, &pivot, &large, &missing] {
        for output in [host.cli(&["deploy", file]), cli(&[], &["check", file])] {
            assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
            found.push_str(&output.stderr.replace(folder.path().to_str().unwrap(), "DIR").replace(&size, "(SIZE)"));
        }
    }
    expect![[r#"
        uploading DIR/core.wasm (8 B), then the host verifies it …
        amends: this is a core WebAssembly module, and Amends runs components; build it with `amends build`, or with `cargo build --release --target wasm32-wasip2`
        amends: DIR/core.wasm does not verify: this is a core WebAssembly module, and Amends runs components; build it with `amends build`, or with `cargo build --release --target wasm32-wasip2`
        uploading DIR/text.wat (11 B), then the host verifies it …
        amends: this is WebAssembly text; make it binary with `wasm-tools parse FILE -o FILE.wasm`
        amends: DIR/text.wat does not verify: this is WebAssembly text; make it binary with `wasm-tools parse FILE -o FILE.wasm`
        uploading DIR/pivot.wasm (SIZE), then the host verifies it …
        amends: saga `probe`, step `reserve`: it is compensatable after the pivot `pay`; put it before, or make it retriable; mend the definition and deploy again; nothing was stored
        amends: DIR/pivot.wasm does not verify: saga `probe`, step `reserve`: it is compensatable after the pivot `pay`; put it before, or make it retriable; mend the definition and deploy again; nothing was stored
        uploading DIR/large.wasm (16.0 MiB), then the host verifies it …
        amends: the component is larger than 16777216 bytes; strip it (`strip = true` and `opt-level = "s"` in its profile), or raise `wasm` in [limits]
        amends: DIR/large.wasm does not verify: the component has 16777224 bytes, and 16777216 is the limit; strip it (`strip = true` and `opt-level = "s"` in its profile), or raise `wasm` in [limits]
        amends: cannot read DIR/missing.wasm: No such file or directory (os error 2)
        amends: cannot read DIR/missing.wasm: No such file or directory (os error 2)
    "#]].assert_eq(&found);
}
