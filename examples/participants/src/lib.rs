//! The services that the example sagas call, as one small server: flights, hotels, cars, accounts, stays, tickets, emails.
//!
//! They behave as participants of a saga should. Each effect happens once for a trip and a step, however often it is requested
//! and with whatever key. A cancellation that arrives before its reservation leaves a tombstone, which refuses the late
//! reservation. Refusals are `409 {"code", "message"}`, never a technical status. Rules make calls fail.
//!
//! | | |
//! |---|---|
//! | `POST /flights/F100/reserve`, `/cancel`; `/hotels/H1/…`; `/cars/K1/…` | `{"trip", "step", "amount_cents", "by"}` |
//! | `POST /accounts/A/charge`, `/refund` | the same |
//! | `POST /accounts/A/debit`, `/credit`, `/reverse` | the same, with `"transfer"` for `"trip"` |
//! | `POST /stays/s1/check-out` | the same, with `"group"` for `"trip"` |
//! | `POST /tickets/T1/issue`, `/void` | the same |
//! | `POST /emails/T1/send` | and `"to", "subject"` |
//! | `GET` of any of these, `?trip=T1&step=…` | the answer to the request that took effect, or 404 |
//! | `GET /state` | [`State`]: the stock, the number of each effect, every call in order |
//! | `POST /control` | [`Control`]: sets the stock, makes calls fail, releases held calls |
//!
//! ```
//! use participants::{Fault, Operation, Participants, Rule};
//!
//! let participants = Participants::start()?;
//! participants.set_stock("K1", 0);
//! participants.add(Rule::next(3, Operation::CancelHotel, Fault::Fail));
//! println!("book at {}", participants.url());
//! assert_eq!(participants.state().effects.get("cancel-hotel"), None);
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod call;
mod faults;
mod operation;
mod server;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use call::{Answer, Ask, Keys, Look};
pub use faults::{Control, Fault, Rule};
pub use operation::Operation;
use server::Shared;
pub use world::{Email, Stay, World};

/// The running server; it stops on drop.
pub struct Participants {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Participants {
    /// Starts the server on a free port of the loopback address, in its own thread.
    pub fn start() -> io::Result<Participants> {
        Participants::start_on(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts the server on this address.
    pub fn start_on(address: SocketAddr) -> io::Result<Participants> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let serving = server::serve(listener, shared.clone(), stopped);
        let thread = thread::Builder::new().name("participants".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serving) {
                eprintln!("participants stopped: {error}");
            }
        })?;
        Ok(Participants { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The state, as `GET /state` shows it.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Every call so far, as `reserve-hotel T1 done`.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.iter().map(|call| format!("{} {} {}", call.operation.name(), call.trip, call.outcome)).collect()
    }

    /// Applies a `POST /control`.
    pub fn control(&self, control: Control) {
        self.shared.control(control);
    }

    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        self.control(Control { rules: vec![rule], ..Control::default() });
    }

    /// Sets the stock of a flight, hotel or car.
    pub fn set_stock(&self, resource: &str, left: u32) {
        self.control(Control { stock: BTreeMap::from([(resource.to_owned(), left)]), ..Control::default() });
    }

    /// Sets what is left on an account.
    pub fn set_account(&self, account: &str, cents: u64) {
        self.control(Control { accounts: BTreeMap::from([(account.to_owned(), cents)]), ..Control::default() });
    }

    /// Lets the held calls of this operation go on.
    pub fn release(&self, operation: Operation) {
        self.control(Control { release: vec![operation], ..Control::default() });
    }

    /// Blocks until the state is as wanted; false if it is not within `timeout`.
    pub fn wait_until(&self, timeout: Duration, holds: impl Fn(&State) -> bool) -> bool {
        self.shared.wait_until(timeout, holds)
    }

    /// Blocks until this many calls of an operation have come, held ones included; false if they have not within `timeout`.
    pub fn wait_for_calls(&self, operation: Operation, calls: usize, timeout: Duration) -> bool {
        let of_it = |state: &State| state.trace.iter().filter(|called| called.operation == operation).count();
        self.wait_until(timeout, |state| of_it(state) >= calls)
    }
}

impl Drop for Participants {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed, and there is nothing to save.
            let _ = thread.join();
        }
    }
}

/// What the participants know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What is left of each flight, hotel and car.
    pub stock: BTreeMap<String, u32>,
    /// What is left on each account, in cents.
    pub accounts: BTreeMap<String, u64>,
    /// What was debited and is neither credited nor put back, in cents, by transfer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_transit: BTreeMap<String, u64>,
    /// The guests' stays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stays: BTreeMap<String, Stay>,
    /// How often each operation has really changed something.
    pub effects: BTreeMap<String, u32>,
    /// The emails that went out.
    pub emails: Vec<Email>,
    /// Every call in the order in which they came.
    pub trace: Vec<Called>,
}

impl State {
    /// All money that there is, in cents: on accounts and in transit. No transfer changes it, at any instant.
    pub fn money_cents(&self) -> u64 {
        self.accounts.values().chain(self.in_transit.values()).sum()
    }
}

/// One call, as the trace shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// What was asked.
    pub operation: Operation,
    /// Of which flight, hotel, car, account, stay or trip.
    pub resource: String,
    /// For which trip, transfer or group.
    pub trip: String,
    /// By which step.
    pub step: String,
    /// The code that asked, as `trip 1`.
    pub by: String,
    /// `open` while it is slow or held, then `done`, `repeated`, `nothing`, `refused no_car`, `failed`, `done, not answered`.
    pub outcome: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its `Amends-Attempt`.
    pub attempt: Option<u32>,
}
