//! The demo: a real host with modules and participants, a crash, and a new version while a saga waits. Every result is checked.

mod screen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::screen::Screen;
use crate::guests::{self, Way};
use crate::http;
use crate::process::{self, say};
use crate::server::Server;
use crate::workspace::Workspace;

/// The longest wait of the demo; what it waits for usually takes less than a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the demo keeps the folder of its host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    Keep,
    Remove,
}

/// Builds what is needed and plays the demo; an error if an expectation does not hold.
pub(crate) fn run(workspace: &Workspace, fate: Folder) -> Result<()> {
    build(workspace)?;
    let began = Instant::now();
    let mut demo = Demo::begin(workspace)?;
    let played = demo.play(fate);
    let (held, broken) = demo.screen.score();
    let place = demo.folder.clone();
    drop(demo);
    match (played, broken) {
        (Ok(()), 0) => println!("\n   {held} expectations held, in {:.1} s.", began.elapsed().as_secs_f64()),
        (Ok(()), _) => {
            bail!("{broken} of {} expectations did not hold; the host's log is {}", held + broken, log_in(&place).display())
        }
        (Err(error), _) => {
            return Err(error.context(format!("the demo broke off; the host's log is {}", log_in(&place).display())));
        }
    }
    match fate {
        Folder::Keep => Ok(()),
        Folder::Remove => fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display())),
    }
}

fn build(workspace: &Workspace) -> Result<()> {
    say("build: the host and the trip's participants");
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["build", "--package", "amends", "--package", "example-participants"]).env("CARGO_TARGET_DIR", workspace.target());
    process::run(&mut cargo)?;
    say("guests: the example modules");
    guests::build(workspace, &guests::choose(workspace, None)?, &[Way::Plain])
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("host.log")
}

struct Demo {
    screen: Screen,
    /// Where the binaries are.
    programs: PathBuf,
    /// The folder of the example modules, relative to the checkout.
    guests: PathBuf,
    root: PathBuf,
    folder: PathBuf,
    participants: Server,
    host: Server,
}

impl Demo {
    fn begin(workspace: &Workspace) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("amends-demo-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let programs = workspace.target().join("debug");
        let mut screen = Screen::new();
        screen.chapter("A host in a new folder, on a free port");
        screen.command(&format!("export PATH={}:$PATH", programs.display()));
        let host = serve(&screen, &programs, &folder)?;
        screen.expect("the host is ready, and found nothing to recover", host.ready.contains("recovered=0"));
        screen.gap();
        screen.remark("The participants of a trip: flights, hotels, cars, accounts.");
        screen.command("participants 127.0.0.1:0 &");
        let mut participants = process::command(programs.join("participants"), &folder);
        let participants = Server::start(participants.arg("127.0.0.1:0"), &folder.join("participants.log"))?;
        screen.output(&participants.ready);
        let root = workspace.root().to_path_buf();
        let guests = workspace.guests().join("plain");
        Ok(Self { screen, programs, guests, root, folder, participants, host })
    }

    fn play(&mut self, fate: Folder) -> Result<()> {
        self.deploy_modules()?;
        self.book_a_trip()?;
        self.roll_one_back()?;
        self.kill_the_host()?;
        self.swap_the_code()?;
        self.order_on_credit()?;
        self.say_what_to_try(fate);
        Ok(())
    }

    fn deploy_modules(&mut self) -> Result<()> {
        self.screen.chapter("Three modules, and a grant for one of them");
        for module in ["order", "trip", "approval"] {
            self.deploy(module)?;
        }
        self.screen.gap();
        self.screen.remark("A module can call an origin only after a grant:");
        let url = self.participants.url.clone();
        self.amends_well(&["grant", "trip", "--http", &url])?;
        let grants = self.json(&["modules", "trip"])?;
        self.screen.expect("trip may call the participants", grants.to_string().contains(&url));
        Ok(())
    }

    fn book_a_trip(&mut self) -> Result<()> {
        self.screen.chapter("A trip that is booked");
        let status = self.amends(&["start", "trip", "--id", "T1", "--wait", "--input", &self.trip()])?;
        self.screen.expect_equal("it exits with 0: completed", &status, &0);
        let trip = self.saga("T1")?;
        self.screen.expect_equal("it is booked for 870.00", &trip["output"]["price"], &json!("870.00"));
        let state = self.participants_state()?;
        self.screen.expect_equal("the account has 130.00 left", &state["accounts"]["A"], &json!(13_000));
        Ok(())
    }

    fn roll_one_back(&mut self) -> Result<()> {
        self.screen.chapter("A trip without a car: the reservations are cancelled");
        self.control(&json!({"reset": true, "stock": {"K1": 0}}))?;
        let status = self.amends(&["start", "trip", "--id", "T2", "--wait", "--input", &self.trip()])?;
        self.screen.expect_equal("it exits with 3: compensated", &status, &3);
        let state = self.participants_state()?;
        self.screen.expect_equal("flight and hotel are free again", &state["stock"], &json!({"F100": 2, "H1": 1, "K1": 0}));
        self.screen.expect_equal("nobody paid", &state["accounts"]["A"], &json!(100_000));
        Ok(())
    }

    /// The host is killed during the reservation of the car, and not of the hotel: the policy of the trip sends the hotel one
    /// request only.
    fn kill_the_host(&mut self) -> Result<()> {
        self.screen.chapter("A host that is killed while a car is being reserved");
        self.screen.remark("The car is reserved at once, and the answer takes a minute:");
        let slow = json!({"operation": "reserve-car", "times": 1, "fault": "slow", "delay_ms": 60_000, "after_effect": true});
        self.control(&json!({"reset": true, "rules": [slow]}))?;
        self.amends_well(&["start", "trip", "--id", "T3", "--input", &self.trip()])?;
        self.wait_until("the car is taken", |demo| Ok(demo.participants_state()?["effects"]["reserve-car"] == 1))?;
        self.amends_well(&["show", "T3"])?;
        self.screen.command(&format!("kill -KILL {}", self.host.pid()));
        self.host.kill()?;
        self.host = serve(&self.screen, &self.programs, &self.folder)?;
        self.screen.expect("the host found T3", self.host.ready.contains("recovered=1"));
        self.screen.gap();
        self.screen.remark("A repeated start is the same saga:");
        let status = self.amends(&["start", "trip", "--id", "T3", "--wait", "--input", &self.trip()])?;
        self.screen.expect_equal("it exits with 0: completed", &status, &0);
        self.screen.command(&format!("curl -s {}/state | jq -c .effects", self.participants.url));
        let state = self.participants_state()?;
        self.screen.output(&state["effects"].to_string());
        let calls = calls_of(&state, "reserve-car");
        self.screen.expect_equal("the car was requested twice, with one key", &calls, &(2, 1));
        self.screen.expect_equal("it was reserved once", &state["effects"]["reserve-car"], &json!(1));
        self.screen.expect_equal("the hotel was reserved once", &state["effects"]["reserve-hotel"], &json!(1));
        Ok(())
    }

    fn swap_the_code(&mut self) -> Result<()> {
        self.screen.chapter("A new version while a saga waits for a person");
        self.amends_well(&["start", "approval", "--id", "R1", "--input", r#"{"subject": "a desk"}"#])?;
        self.wait_until("R1 waits", |demo| Ok(demo.saga("R1")?["status"] == "waiting"))?;
        self.amends_well(&["show", "R1"])?;
        self.deploy("approval-v2")?;
        self.amends_well(&["start", "approval", "--id", "R2", "--input", r#"{"subject": "a chair"}"#])?;
        self.amends_well(&["modules", "approval"])?;
        let (first, second) = (self.saga("R1")?, self.saga("R2")?);
        self.screen.expect_equal("R1 stays on version 1", &first["version"], &json!(1));
        self.screen.expect_equal("R2 started on version 2", &second["version"], &json!(2));
        self.screen.gap();
        self.screen.remark("Both requests are approved:");
        for (id, version) in [("R1", 1), ("R2", 2)] {
            self.amends_well(&["signal", id, "approval", "--data", r#"{"approved": true, "by": "ada"}"#])?;
            self.wait_until("it has ended", |demo| Ok(demo.saga(id)?["ended_at"].is_string()))?;
            self.amends_well(&["show", id])?;
            let ran_on = self.saga(id)?["output"]["version"].clone();
            self.screen.expect_equal(&format!("{id} was run by version {version} to its end"), &ran_on, &json!(version));
        }
        Ok(())
    }

    /// A command and its events, a saga over two aggregates, a view that includes what was just done, and what followed from what.
    fn order_on_credit(&mut self) -> Result<()> {
        self.screen.chapter("A customer with a credit limit: commands, events, a view of them, and a trace");
        self.deploy("credit")?;
        self.amends_well(&["send", "customer", "C1", "open", "--data", r#"{"limit_cents": 1500}"#])?;
        let order = |id: &str, cents: u32| json!({"order": id, "customer": "C1", "total_cents": cents}).to_string();
        let first = self.amends(&["start", "place-order", "--id", "O1", "--wait", "--input", &order("O1", 1234)])?;
        self.screen.expect_equal("the order fits the limit: it exits with 0", &first, &0);
        let second = self.amends(&["start", "place-order", "--id", "O2", "--wait", "--input", &order("O2", 12_340)])?;
        self.screen.expect_equal("the second one does not: it exits with 3, and was undone", &second, &3);
        self.amends_well(&["events", "--key", "C1"])?;
        let position = self.json(&["send", "customer", "C2", "open", "--data", r#"{"limit_cents": 900}"#])?["position"].clone();
        let position = position.as_str().unwrap_or_default().to_owned();
        self.screen.gap();
        self.screen.remark("A view is built of the events, and waits until it includes a position:");
        let query = ["query", "order-history", "by-customer", "customer=C1", "--at-least", &position];
        self.amends_well(&query)?;
        let history = self.json(&query)?["data"]["orders"].clone();
        let statuses = ["O1", "O2"].map(|order| history[order]["status"].clone());
        self.screen.expect_equal("it shows both orders", &statuses, &[json!("approved"), json!("rejected")]);
        self.amends_well(&["trace", "O1"])?;
        Ok(())
    }

    fn say_what_to_try(&mut self, fate: Folder) {
        self.screen.chapter("Try next, in this folder");
        let shown = |path: &Path| path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        let amends = shown(&self.programs.join("amends"));
        match fate {
            Folder::Keep => {
                self.screen.command(&format!("{amends} serve --data {} &", self.folder.join("data").display()));
                self.screen.command(&format!("{amends} journal T3"));
            }
            Folder::Remove => {
                self.screen.command(&format!("{amends} serve --data {} &", std::env::temp_dir().join("amends-data").display()));
                self.screen.command(&format!("{amends} deploy {}", shown(&self.guests.join("order.wasm"))));
            }
        }
        self.screen.command(&format!(r#"{amends} start order --wait --input '{{"fail_at": "charge"}}'"#));
    }

    /// Shows and runs `amends ARGUMENTS…`; returns its exit code.
    fn amends(&mut self, arguments: &[&str]) -> Result<i32> {
        let line = arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let mut command = self.cli();
        let status = self.screen.run(&format!("amends {line}"), command.args(arguments))?;
        status.code().with_context(|| format!("`amends {line}` was killed"))
    }

    /// Shows and runs a command; an exit code other than 0 ends the demo.
    fn amends_well(&mut self, arguments: &[&str]) -> Result<()> {
        match self.amends(arguments)? {
            0 => Ok(()),
            code => bail!("`amends {}` exited with {code}", arguments.join(" ")),
        }
    }

    fn deploy(&mut self, guest: &str) -> Result<()> {
        let file = self.guests.join(format!("{guest}.wasm"));
        let shown = file.strip_prefix(&self.root).unwrap_or(&file).to_string_lossy().into_owned();
        self.amends_well(&["deploy", &shown])
    }

    /// The JSON of a reading verb, without showing it.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = process::read(self.cli().args(arguments).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("cannot read what `amends {}` printed", arguments.join(" ")))
    }

    fn saga(&self, id: &str) -> Result<Value> {
        self.json(&["show", id])
    }

    fn cli(&self) -> Command {
        let mut command = process::command(self.programs.join("amends"), &self.root);
        command.env("AMENDS_HOST", &self.host.url);
        command
    }

    /// The input of a trip.
    fn trip(&self) -> String {
        json!({"participants": self.participants.url}).to_string()
    }

    fn control(&self, wish: &Value) -> Result<()> {
        self.screen.command(&format!("curl -s {}/control -d '{wish}' > /dev/null", self.participants.url));
        http::post(self.participants.address, "/control", wish.to_string().as_bytes()).map(drop)
    }

    fn participants_state(&self) -> Result<Value> {
        Ok(serde_json::from_str(&http::get(self.participants.address, "/state")?)?)
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !holds(self)? {
            if began.elapsed() > PATIENCE {
                bail!("waited in vain until {what}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Starts a host on the folder of the demo.
fn serve(screen: &Screen, programs: &Path, folder: &Path) -> Result<Server> {
    let data = folder.join("data");
    let mut command = process::command(programs.join("amends"), folder);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    screen.command(&format!("amends serve --listen 127.0.0.1:0 --data {} &", data.display()));
    let host = Server::start(&mut command, &log_in(folder))?;
    screen.output(&host.ready);
    screen.command(&format!("export AMENDS_HOST={}", host.url));
    Ok(host)
}

/// The number of calls of an operation, and the number of their keys.
fn calls_of(state: &Value, operation: &str) -> (usize, usize) {
    let trace = state["trace"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut keys: Vec<String> =
        trace.iter().filter(|call| call["operation"] == operation).map(|call| call["key"].to_string()).collect();
    let calls = keys.len();
    keys.dedup();
    (calls, keys.len())
}

/// A word, quoted for a shell if necessary.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_take_apart_are_quoted() {
        assert_eq!(quoted("--id"), "--id");
        assert_eq!(quoted(r#"{"by": "ada"}"#), r#"'{"by": "ada"}'"#);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn calls_are_counted_with_their_keys() {
        let call = |operation: &str, key: &str| json!({"operation": operation, "key": key});
        let state = json!({"trace": [call("reserve-car", "k"), call("charge", "l"), call("reserve-car", "k")]});
        assert_eq!(calls_of(&state, "reserve-car"), (2, 1));
    }
}
