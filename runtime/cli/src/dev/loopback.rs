//! Grants what a saga calls on this machine, when it calls it: the host's denial says what would permit the call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread::{self, JoinHandle},
};

use amends_wire::{
    denial::{Denial, Permit},
    module::HttpGrant,
    saga::{Saga, SagaLine, SagaPage, Status},
};
use anyhow::{Context, Result};
use url::{Host, Url};

use crate::{grant, session::Session, watch};

/// Who follows the sagas of which module.
pub(super) struct Loopback {
    session: Arc<Session>,
    followers: BTreeMap<String, JoinHandle<()>>,
}

impl Loopback {
    /// For a host. One elsewhere has a loopback of its own, which is not ours to grant.
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, followers: BTreeMap::new() }
    }

    /// Follows the sagas of a module until the host is gone; to be said again at each deploy.
    pub(super) fn attend(&mut self, module: &str) {
        let is_followed = self.followers.get(module).is_some_and(|follower| !follower.is_finished());
        if is_followed || !is_loopback(self.session.client.address()) {
            return;
        }
        let (session, name) = (Arc::clone(&self.session), module.to_owned());
        let follower = thread::spawn(move || {
            // It ends with the host; the next deploy tells whether that is back.
            let _ = Follower { session: &session, module: &name, seen: BTreeSet::new() }.follow();
        });
        self.followers.insert(module.to_owned(), follower);
    }
}

/// Follows the sagas of one module.
struct Follower<'a> {
    session: &'a Session,
    module: &'a str,
    /// Origins that were granted or shown: neither helps a second time.
    seen: BTreeSet<HttpGrant>,
}

impl Follower<'_> {
    fn follow(mut self) -> Result<()> {
        self.all()?;
        let session = self.session;
        watch::follow(session, &["v1", "watch"], &[], watch::Stream::Changes, |message| {
            if message.event == "gap" {
                self.all()?;
                return Ok(true);
            }
            let saga: SagaLine = serde_json::from_str(&message.data).context("cannot read what the host sent")?;
            self.one(&saga)?;
            Ok(true)
        })
    }

    /// Those that were stuck before, or while nobody looked.
    fn all(&mut self) -> Result<()> {
        let page: SagaPage = self.session.client.get(&["v1", "sagas"], &[("status", "stuck"), ("limit", "1000")])?;
        page.sagas.iter().try_for_each(|saga| self.one(saga))
    }

    fn one(&mut self, saga: &SagaLine) -> Result<()> {
        if saga.module != self.module || saga.status != Status::Stuck {
            return Ok(());
        }
        let saga: Saga = self.session.client.get(&["v1", "sagas", &saga.id], &[])?;
        for stuck in &saga.stuck {
            let Some(grant) = stuck.denial.as_ref().and_then(granting) else { continue };
            if self.seen.insert(grant.clone()) {
                super::line(&self.answer(&grant, &saga.id, &stuck.help))?;
            }
        }
        Ok(())
    }

    fn answer(&self, grant: &HttpGrant, saga: &str, help: &[String]) -> String {
        let (module, origin) = (self.module, &grant.origin);
        if !is_loopback(origin) {
            return format!("{saga} is stuck: {module} may not reach {origin}; {}", help.join("; "));
        }
        match grant::give_origin(self.session, module, grant, "amends dev") {
            Ok(_) => format!("granted {origin} to {module}: {saga} called it, and goes on"),
            Err(error) => format!("{saga} is stuck: {module} may not reach {origin}, and cannot be granted it: {error:#}"),
        }
    }
}

/// The grant that permits a denied call, if one does.
fn granting(denial: &Denial) -> Option<HttpGrant> {
    let private = match denial.permit? {
        // A name may be granted only together with where it leads.
        Permit::Grant => is_name(&denial.origin),
        Permit::PrivateGrant => true,
    };
    Some(HttpGrant { origin: denial.origin.clone(), private })
}

fn is_name(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| matches!(url.host(), Some(Host::Domain(_))))
}

/// It leads to the machine that asks, and cannot lead elsewhere.
fn is_loopback(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use amends_wire::denial::DenialReason;

    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_granted_unasked() {
        for here in
            ["http://127.0.0.1:9000", "http://127.9.9.9", "http://[::1]:9000", "http://localhost:9000", "https://api.localhost"]
        {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in
            ["http://10.0.0.1", "https://localhost.example.com", "http://0.0.0.0:9000", "https://*.localhost.com", "x"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn the_hosts_denial_says_what_to_grant() {
        let granted = |origin: &str, reason, permit| {
            let denial = Denial { origin: origin.to_owned(), reason, permit, address: None, method: None };
            granting(&denial).map(|grant| (grant.origin, grant.private))
        };
        let (missing, grant) = (DenialReason::NotGranted, Some(Permit::Grant));
        let of = |origin: &str, private| Some((origin.to_owned(), private));
        assert_eq!(granted("http://127.0.0.1:9000", missing, grant), of("http://127.0.0.1:9000", false));
        assert_eq!(granted("http://localhost:9000", missing, grant), of("http://localhost:9000", true));
        let private = Some(Permit::PrivateGrant);
        assert_eq!(granted("http://api.test", DenialReason::PrivateAddress, private), of("http://api.test", true));
        assert_eq!(granted("http://127.0.0.1:8420", DenialReason::OwnListener, None), None);
    }
}
