//! Where the command line meets what it is built around: the three places at which a host is put together.

use std::{future::Future, net::SocketAddr, pin::Pin, process::ExitCode, sync::Arc};

use super::exit::Fatal;
use crate::{
    api::runtime::{Runtime, Unverified, Verified},
    config::Config,
};

/// A host that has recovered and takes requests.
pub struct Host {
    /// What the API asks.
    pub runtime: Arc<dyn Runtime>,
    /// How many live sagas were there.
    pub recovered: u64,
    /// Ends only if the host cannot go on (law 14).
    pub failed: Pin<Box<dyn Future<Output = Fatal> + Send>>,
    /// No new starts, time for open attempts, commit, close.
    pub close: Box<dyn FnOnce() -> Result<(), Fatal> + Send>,
}

/// Opens the data folder, recovers, and starts the engine. Runs on a blocking thread of the tokio runtime.
///
/// `listening` is the API's own address, which no guest may call.
pub fn open(config: &Config, listening: SocketAddr) -> Result<Host, Fatal> {
    let _ = (config, listening);
    Err(Fatal::Other("this build has no engine".to_owned()))
}

/// Verifies a component in this process, for `check` and `graph`.
pub fn verify(bytes: Vec<u8>) -> Result<Verified, Unverified> {
    drop(bytes);
    Err(Unverified { code: "not_built", reasons: vec!["this build cannot verify without a host".to_owned()], hint: None })
}

/// The body of the hidden subcommand `compile-worker`.
pub fn compile_worker() -> ExitCode {
    ExitCode::FAILURE
}
