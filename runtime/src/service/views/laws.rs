//! The law of views (U7): whatever events, new versions, operators and losses of power do, in whatever order, the rows of a generation
//! are a fold of the journal by the code of its version, up to where it has read, without what it was told to leave out.
//!
//! `AMENDS_VIEW_LIVES=2000` runs the campaign for longer than every test run does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use amends_core::{event::Act, value::Payload};

use super::{Answered, GenerationView, Question, Role, Running, Stopped, Verb, Views};
use crate::{
    engine::{
        module::request::Which,
        recorded::{Recent, RecordedEvent},
        refusal::RefusalCode,
    },
    service::{
        gate::Accepted,
        testing::{TestHost, namespace, origin, run},
    },
    store::{Position, Store, differential::Dice, fault::FaultDisk, redb::views::ViewFile},
};

const VIEW: &str = "stamped";

/// Nothing here takes so long.
const HANG: Duration = Duration::from_secs(60);

/// What happens in a life.
const EVENTS: u64 = 40;

/// A host whose views lose power, and what was done to it.
struct Life {
    seed: u64,
    dice: Dice,
    host: TestHost,
    disk: FaultDisk,
    views: Option<Running>,
    versions: u32,
    /// What happened, each kind once.
    seen: BTreeSet<&'static str>,
}

impl Life {
    fn begin(seed: u64) -> Self {
        let (host, disk) = (TestHost::empty(), FaultDisk::default());
        host.deploy(b"\0asm sums counting");
        let views = Some(host.views_on(ViewFile::on_backend(disk.clone(), 1 << 20).unwrap()));
        let mut life = Self { seed, dice: Dice(seed), host, disk, views, versions: 0, seen: BTreeSet::new() };
        life.deploy();
        life
    }

    fn views(&self) -> &Views {
        self.views.as_ref().unwrap().views()
    }

    /// One thing happens.
    fn goes_on(&mut self) {
        match self.dice.below(20) {
            0..8 => self.count(),
            8 => self.deploy(),
            9 => self.activate(),
            10 => self.act("rebuilt", Verb::Rebuild),
            11 => self.act("switched back", Verb::SwitchBack),
            12 => self.act("stopped", Verb::Stop),
            13 => self.act("resumed", Verb::Resume),
            14..16 => self.skip(),
            16 => self.restart(),
            17 => self.lose_power(),
            _ => self.catch_up(),
        }
    }

    fn count(&mut self) {
        for _ in 0..=self.dice.below(3) {
            let counter = ["C1", "C2", "C3"][self.dice.below(3) as usize];
            let number = if self.dice.below(15) == 0 { 666 } else { 100 + self.dice.below(500) };
            self.host.count(counter, &number.to_string());
        }
    }

    fn deploy(&mut self) {
        self.versions += 1;
        // Components are for the life of a process, as those of a test are.
        self.host.deploy(format!("\0asm view stamping {}", self.versions).leak().as_bytes());
    }

    fn activate(&mut self) {
        let version = 1 + self.dice.below(u64::from(self.versions)) as u32;
        let asked = vec![("view".to_owned(), Which::Version(version))];
        run(self.host.services.deploys.activate(origin(), asked, act(), Accepted::default())).unwrap();
    }

    fn act(&mut self, what: &'static str, verb: Verb) {
        match run(self.views().act(&namespace(), VIEW, verb, act())) {
            Ok(()) => drop(self.seen.insert(what)),
            Err(refusal) => {
                let is_refused = matches!(refusal.code, RefusalCode::VerbDoesNotFit | RefusalCode::NoSuchView);
                assert!(is_refused, "seed {}: {what}: {}", self.seed, refusal.message);
            }
        }
    }

    fn skip(&mut self) {
        let stopped = self.generations().into_iter().find_map(|generation| poison(&generation).map(str::to_owned));
        if let Some(event) = stopped {
            self.act("skipped", Verb::Skip { event });
        }
    }

    /// The host stops in order.
    fn restart(&mut self) {
        self.views.take().unwrap().stop();
        self.open(self.disk.content());
    }

    /// What was not synced is lost, or kept, sector by sector.
    fn lose_power(&mut self) {
        let Self { dice, disk, .. } = self;
        let keeps = dice.below(3);
        let image = disk.after_power_loss(|| keeps == 1 || keeps == 2 && dice.below(2) == 0);
        let before: u64 = self.generations().iter().map(|generation| generation.through).sum();
        self.views.take().unwrap().stop();
        self.open(image);
        let after: u64 = self.generations().iter().map(|generation| generation.through).sum();
        if after < before {
            self.seen.insert("fell back");
        }
    }

    fn open(&mut self, image: Vec<u8>) {
        self.disk = FaultDisk::with(image);
        let file = ViewFile::on_backend(self.disk.clone(), 1 << 20);
        let file = file.unwrap_or_else(|error| panic!("seed {}: the file of the views is damaged: {error}", self.seed));
        self.views = Some(self.host.views_on(file));
        self.check();
    }

    /// The active generation takes all that it can.
    fn catch_up(&self) {
        self.until(|generations| {
            generations.iter().any(|one| one.role == Role::Active && (one.lag == 0 || one.stopped.is_some()))
        });
    }

    fn generations(&self) -> Vec<GenerationView> {
        self.views().show(&namespace(), VIEW).map(|view| view.generations).unwrap_or_default()
    }

    fn until(&self, wanted: impl Fn(&[GenerationView]) -> bool) -> Vec<GenerationView> {
        let began = Moment::now();
        loop {
            let generations = self.generations();
            if wanted(&generations) {
                return generations;
            }
            assert!(began.elapsed() < HANG, "seed {}: it does not come to it: {generations:?}", self.seed);
            std::thread::yield_now();
        }
    }

    fn ask(&self, at_least: Option<Position>) -> Answered {
        let question = Question {
            namespace: namespace(),
            view: VIEW.into(),
            query: "all".into(),
            parameters: Payload::json("{}"),
            at_least,
        };
        let answered = run(async {
            self.views().arrived(&question.namespace, VIEW, std::future::pending()).await?;
            self.views().ask(question, tokio::time::sleep(HANG)).await
        });
        answered.unwrap_or_else(|refusal| panic!("seed {}: {}", self.seed, refusal.message))
    }

    fn log(&self) -> Vec<Arc<RecordedEvent>> {
        let (store, types) = (self.host.store.as_ref() as &dyn Store, ["counter.counted".to_owned()]);
        let page = Recent::default().page(store, &namespace(), &types, 0, (1_000, 1 << 20)).unwrap();
        assert!(!page.has_more, "the log of a life fits a page");
        page.events
    }

    /// What is answered is a fold of the log up to where it says, or to a later event: the rows may be newer than what is known of them.
    fn check(&self) {
        let answer = self.ask(None);
        let generations = self.generations();
        // Another one may answer by now, but nobody removes the one before.
        let Some(generation) = generations.iter().find(|one| one.number == answer.generation) else { return };
        let log = self.log();
        let rows = text(&answer);
        let known = log.iter().filter(|event| event.position <= answer.through).count();
        let is_fold = (known..=log.len()).any(|count| fold(&log[..count], generation) == rows);
        assert!(is_fold, "seed {}: {rows} is no fold of the log, as of {} in {generation:?}", self.seed, answer.through);
    }

    /// Built anew by the active code, it has everything that can be taken.
    fn end(&mut self) {
        self.act("resumed", Verb::Resume);
        self.act("rebuilt", Verb::Rebuild);
        let began = Moment::now();
        loop {
            self.skip();
            self.check();
            let generations = self.generations();
            let is_built = generations.iter().all(|generation| generation.role != Role::Building);
            if is_built && generations[0].lag == 0 {
                break;
            }
            assert!(began.elapsed() < HANG, "seed {}: it is not built: {generations:?}", self.seed);
        }
        let log = self.log();
        let answer = self.ask(log.last().map(|event| event.position));
        let generation = &self.generations()[0];
        assert_eq!(text(&answer), fold(&log, generation), "seed {}", self.seed);
        assert_eq!(generation.events as usize, log.len() - generation.skipped.len(), "seed {}", self.seed);
        self.views.take().unwrap().stop();
    }
}

fn act() -> Act {
    Act { note: "a test".to_owned(), by: "ann".to_owned() }
}

fn poison(generation: &GenerationView) -> Option<&str> {
    match &generation.stopped {
        Some(Stopped::Poison { event, .. }) => Some(event),
        Some(Stopped::Asked { .. }) | None => None,
    }
}

fn text(answer: &Answered) -> String {
    String::from_utf8(answer.said.as_ref().unwrap().bytes.to_vec()).unwrap()
}

/// What the code of a generation makes of these events, by plain means.
fn fold(log: &[Arc<RecordedEvent>], generation: &GenerationView) -> String {
    let is_taken = |event: &&Arc<RecordedEvent>| !generation.skipped.iter().any(|skipped| skipped.position == event.position);
    let row = |event: &Arc<RecordedEvent>| {
        let data = event.data.as_ref().map(|data| String::from_utf8_lossy(&data.bytes).into_owned()).unwrap_or_default();
        (event.id.clone(), format!("{}.{data}", generation.version))
    };
    let rows: BTreeMap<String, String> = log.iter().filter(is_taken).map(row).collect();
    format!("[{}]", rows.into_values().collect::<Vec<_>>().join(","))
}

#[test]
fn u7_a_view_is_a_fold_of_the_log_whatever_happens_to_it() {
    let lives = std::env::var("AMENDS_VIEW_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(20);
    let mut seen = BTreeSet::new();
    for seed in 1..=lives {
        let mut life = Life::begin(seed);
        for _ in 0..EVENTS {
            life.goes_on();
            life.check();
        }
        life.end();
        seen.extend(life.seen);
    }
    // The campaign says nothing of what never happened.
    let all = ["fell back", "rebuilt", "resumed", "skipped", "stopped", "switched back"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
