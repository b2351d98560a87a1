//! Deploys: a component is verified, kept, and recorded as a version of its module; or it is discarded, and nothing of it is left.
//!
//! A component must be durable before the record that names it, so that between `Turn::keep` and that record no version names it
//! yet. Whatever discards unnamed components in that moment would delete what the record needs. Therefore components are kept and
//! discarded through a `Turn` alone, of which there is one at a time, and a deploy holds its turn until the engine has answered.
//! Each deploy runs as a task of its own: a client that goes away ends neither the turn nor the deploy.

use std::{fmt, sync::Arc};

use amends_core::{
    event::Act,
    id::{Name, Namespace},
    validate,
};
use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{
    components::{Components, NotKept},
    gate::{Accepted, Gate},
    intake::Intake,
    reader::Reader,
    verify::{self, Unverified, Verified},
    views::Views,
};
use crate::{
    engine::{
        guests::ModuleDigest,
        module::Definitions,
        port::{Activation, Deploy, ModuleAnswer, ModuleView, Origin, Refusal, RefusalCode, Request, Which},
    },
    trouble::Trouble,
};

/// Deploys at a time, plans included: each holds a component of up to `wasm_bytes_max`, a thread, and while it describes itself one
/// of the host's few places for guests beside the attempts.
const UPLOADS_MAX: usize = 4;

/// What deploys are made of.
pub struct Parts {
    /// Where components are verified and kept.
    pub components: Arc<dyn Components>,
    /// Records versions.
    pub intake: Intake,
    /// Reads what is committed.
    pub reader: Reader,
    /// Knows which components some version names.
    pub definitions: Definitions,
    /// The rules of definitions.
    pub limits: validate::Limits,
    /// Needs the components that built them.
    pub views: Views,
    /// Knows what versions make of recorded events.
    pub gate: Gate,
}

/// Verifies, deploys and removes components. Cloning shares the places and the turn.
#[derive(Clone)]
pub struct Deploys {
    parts: Arc<Parts>,
    places: Arc<Semaphore>,
    turn: Arc<Mutex<()>>,
}

/// A place among the deploys that are under way. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A component on its way in.
#[derive(Debug)]
pub struct Upload {
    /// Taken before the bytes were read.
    pub place: Place,
    /// The component.
    pub bytes: Bytes,
    /// The name that it must have inside, if whoever sent it gave one.
    pub name: Option<Name>,
    /// Who sends it, to which namespace.
    pub origin: Origin,
}

/// What a deploy would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is in the component.
    pub verified: Verified,
    /// The module as it is, if it is deployed already.
    pub module: Option<ModuleView>,
}

/// A recorded version.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What the engine answered.
    pub answer: ModuleAnswer,
    /// What is in the component.
    pub verified: Verified,
    /// The module as it was before, if it was deployed already.
    pub before: Option<ModuleView>,
}

/// Why a deploy came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployError {
    /// The component cannot become a version.
    Unverified(Unverified),
    /// The component has another name inside than it was sent under.
    OtherName {
        /// The name in the component.
        inside: String,
        /// The name that it was sent under.
        sent: Name,
    },
    /// The engine refused.
    Refused(Refusal),
    /// The task that deployed panicked, which is a bug.
    Panicked(String),
}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified(unverified) => unverified.fmt(f),
            Self::OtherName { inside, sent } => write!(f, "the component names itself `{inside}`, not `{sent}`"),
            Self::Refused(refusal) => f.write_str(&refusal.message),
            Self::Panicked(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DeployError {}

impl From<Unverified> for DeployError {
    fn from(unverified: Unverified) -> Self {
        Self::Unverified(unverified)
    }
}

impl From<Refusal> for DeployError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotKept> for DeployError {
    fn from(not_kept: NotKept) -> Self {
        let hint = Some("look at the host's log and its disk, and try again".to_owned());
        Self::Unverified(Unverified { trouble: Trouble::Host, code: "not_stored", reasons: vec![not_kept.0], hint })
    }
}

impl Deploys {
    /// Deploys to a host of these parts.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), places: Arc::new(Semaphore::new(UPLOADS_MAX)), turn: Arc::default() }
    }

    /// A place for one upload. It is taken before the bytes are read: a burst of deploys is refused before it takes memory.
    pub fn place(&self) -> Result<Place, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(|permit| Place { _permit: permit }).map_err(|_| {
            let message = "as many modules are being deployed as this host takes at once";
            Refusal::new(RefusalCode::Overloaded, message).hint("try again in a moment")
        })
    }

    /// Says what a deploy would do. Nothing of the component is left afterwards, unless some version is these bytes.
    pub async fn plan(&self, upload: Upload) -> Result<Plan, DeployError> {
        let deploys = self.clone();
        to_the_end(async move {
            let verified = deploys.verify(&upload).await?;
            let namespace = &upload.origin.namespace;
            let module = tokio::task::block_in_place(|| deploys.parts.reader.module(namespace, &verified.module));
            deploys.turn().await.discard(&verified.digest);
            Ok(Plan { module: module?, verified })
        })
        .await
    }

    /// Deploys a component: afterwards its version is recorded, or nothing of it is left.
    pub async fn deploy(&self, upload: Upload, activate: bool) -> Result<Recorded, DeployError> {
        let deploys = self.clone();
        to_the_end(async move {
            let verified = deploys.verify(&upload).await?;
            deploys.record(&upload, verified, activate).await
        })
        .await
    }

    /// Makes a version of each of these modules the one that new work starts on, together, if they can read what was recorded.
    pub async fn activate(
        &self,
        origin: Origin,
        asked: Vec<(String, Which)>,
        act: Act,
        accepted: Accepted,
    ) -> Result<Vec<ModuleAnswer>, DeployError> {
        let deploys = self.clone();
        to_the_end(async move {
            // A deploy beside it might make what was checked another one.
            let _turn = deploys.turn().await;
            let numbered = tokio::task::block_in_place(|| deploys.parts.reader.numbers(&origin.namespace, &asked))?;
            let lost = deploys.parts.gate.check(&origin.namespace, &numbered, accepted).await?;
            deploys.parts.gate.check_states(&origin.namespace, &numbered).await?;
            let versions = numbered.into_iter().map(|(module, version)| (module, Which::Version(version))).collect();
            let activation = Activation { versions, act, lost };
            Ok(deploys.parts.intake.ask(|answer| Request::Activate(origin, activation, answer)).await?)
        })
        .await
    }

    /// Has the removal of a version recorded, and deletes its component unless some other version is the same bytes.
    pub async fn remove(&self, origin: Origin, module: String, version: u32) -> Result<ModuleAnswer, DeployError> {
        let deploys = self.clone();
        to_the_end(async move {
            let turn = deploys.turn().await;
            let digest = tokio::task::block_in_place(|| deploys.digest_of(&origin.namespace, &module, version))?;
            digest.iter().try_for_each(|digest| deploys.refuse_needed(&origin.namespace, digest, &module, version))?;
            let answer = deploys.parts.intake.ask(|answer| Request::Remove(origin, module, version, answer)).await?;
            digest.iter().for_each(|digest| turn.discard(digest));
            Ok(answer)
        })
        .await
    }

    /// Verifies a component. One that is refused leaves nothing, not even its compiled code.
    async fn verify(&self, upload: &Upload) -> Result<Verified, DeployError> {
        let found = tokio::task::block_in_place(|| self.parts.components.verify(&upload.bytes)).map_err(Unverified::from)?;
        let digest = found.digest;
        let checked = verify::check(found, upload.bytes.len() as u64, &self.parts.limits).map_err(DeployError::from);
        let checked = checked.and_then(|verified| match &upload.name {
            Some(sent) if sent.as_str() != verified.module => {
                Err(DeployError::OtherName { inside: verified.module, sent: sent.clone() })
            }
            Some(_) | None => Ok(verified),
        });
        if checked.is_err() {
            self.turn().await.discard(&digest);
        }
        checked
    }

    /// Keeps a component and has its version recorded.
    async fn record(&self, upload: &Upload, verified: Verified, activate: bool) -> Result<Recorded, DeployError> {
        let turn = self.turn().await;
        let Verified { module, digest, bytes, definitions, triggers, aggregates, projections, policies, imports, warnings: _ } =
            verified.clone();
        let before = tokio::task::block_in_place(|| self.parts.reader.module(&upload.origin.namespace, &module));
        let before = before.inspect_err(|_| turn.discard(&digest))?;
        // Without aggregates before and after, no recorded event gets other code.
        if activate && (!aggregates.is_empty() || before.as_ref().is_some_and(has_aggregates)) {
            let known = before.iter().flat_map(|module| &module.versions).find(|known| known.digest == digest);
            let (gate, namespace) = (&self.parts.gate, &upload.origin.namespace);
            let checked = match known {
                Some(known) => gate.check(namespace, &[(module.clone(), known.version)], Accepted::default()).await.map(drop),
                None => gate.check_new(namespace, &module, &aggregates).await,
            };
            checked.inspect_err(|_| turn.discard(&digest))?;
        }
        if activate && !policies.is_empty() {
            let checked = self.parts.gate.check_new_states(&upload.origin.namespace, &policies).await;
            checked.inspect_err(|_| turn.discard(&digest))?;
        }
        if let Err(not_kept) = turn.keep(&upload.bytes) {
            turn.discard(&digest);
            return Err(not_kept.into());
        }
        let deploy =
            Deploy { module, digest, bytes, definitions, triggers, aggregates, projections, policies, imports, activate };
        let answer = self.parts.intake.ask(|answer| Request::Deploy(upload.origin.clone(), deploy, answer)).await;
        if answer.as_ref().is_err_and(is_final) {
            turn.discard(&digest);
        }
        Ok(Recorded { answer: answer?, verified, before })
    }

    fn digest_of(&self, namespace: &Namespace, module: &str, version: u32) -> Result<Option<ModuleDigest>, Refusal> {
        let module = self.parts.reader.module(namespace, module)?;
        let versions = module.into_iter().flat_map(|module| module.versions);
        Ok(versions.filter(|known| known.version == version).map(|known| known.digest).next())
    }

    /// A view answers with the code that built it, until it has another generation.
    fn refuse_needed(&self, namespace: &Namespace, digest: &ModuleDigest, module: &str, version: u32) -> Result<(), Refusal> {
        match self.parts.views.need(namespace, digest).as_slice() {
            [] => Ok(()),
            views => {
                let said = format!("{module} v{version} cannot be removed: it answers for the views {}", views.join(", "));
                Err(Refusal::new(RefusalCode::VersionInUse, said).hint("wait until they are built by another version"))
            }
        }
    }

    /// Waits for the turn.
    async fn turn(&self) -> Turn<'_> {
        Turn { parts: &self.parts, _one_at_a_time: self.turn.lock().await }
    }
}

/// The active version of a module has aggregates.
fn has_aggregates(module: &ModuleView) -> bool {
    let active = module.versions.iter().find(|known| module.active == Some(known.version));
    active.is_some_and(|version| !version.aggregates.is_empty())
}

/// The right to keep and to discard components. Only one deploy or removal has it at a time.
struct Turn<'a> {
    parts: &'a Parts,
    _one_at_a_time: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Makes a verified component durable and ready to run, before a record names it.
    fn keep(&self, bytes: &[u8]) -> Result<(), NotKept> {
        tokio::task::block_in_place(|| self.parts.components.keep(bytes))
    }

    /// Deletes what is left of a component, unless some version is these bytes.
    fn discard(&self, digest: &ModuleDigest) {
        if !self.parts.definitions.digests().contains(digest) {
            tokio::task::block_in_place(|| self.parts.components.remove(digest));
        }
    }
}

/// Whether the engine has refused for good. After any other refusal it may have recorded the deploy all the same, or may yet:
/// its component stays, and the next start of the host deletes it if no record names it.
fn is_final(refusal: &Refusal) -> bool {
    !matches!(refusal.code, RefusalCode::Stopping | RefusalCode::StorageFailed)
}

/// Runs work to its end, also when the one who waits for it goes away.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, DeployError>> + Send + 'static,
) -> Result<T, DeployError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(DeployError::Panicked(error.to_string())))
}

#[cfg(test)]
mod tests;
