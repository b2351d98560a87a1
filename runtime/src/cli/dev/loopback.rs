//! Grants what a saga calls on this machine, when it calls it: a denial names the command that grants it, and this runs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread::{self, JoinHandle},
};

use amends_core::view::Status;
use anyhow::{Context, Result};
use clap::Parser;
use url::{Host, Url};

use crate::{
    api::wire::saga::{Saga, SagaLine, SagaPage},
    cli::{
        Cli, Verb,
        grant::{self, Grant},
        session::Session,
        watch,
    },
};

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
    /// Commands that were run or shown: none helps a second time.
    seen: BTreeSet<String>,
}

impl Follower<'_> {
    fn follow(mut self) -> Result<()> {
        self.all()?;
        let session = self.session;
        watch::follow(session, &["v1", "watch"], watch::Stream::Changes, |message| {
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
        let denials = saga.stuck.iter().filter(|stuck| stuck.code == "denied");
        for command in denials.flat_map(|stuck| &stuck.help) {
            let Some(grant) = granting(command, self.module) else { continue };
            if self.seen.insert(command.clone()) {
                super::line(&self.answer(&grant, &saga.id, command))?;
            }
        }
        Ok(())
    }

    fn answer(&self, grant: &Grant, saga: &str, command: &str) -> String {
        let (module, origins) = (self.module, grant.http.join(" and "));
        if !grant.http.iter().all(|origin| is_loopback(origin)) {
            return format!("{saga} is stuck: {module} may not reach {origins}; {command}");
        }
        match grant::give(grant, self.session) {
            Ok(_) => format!("granted {origins} to {module}: {saga} called it, and goes on"),
            Err(error) => format!("{saga} is stuck: {module} may not reach {origins}, and cannot be granted it: {error:#}"),
        }
    }
}

/// The grant of a command that the host proposes.
fn granting(command: &str, module: &str) -> Option<Grant> {
    match Cli::try_parse_from(command.split_whitespace()).ok()?.verb {
        Verb::Grant(mut grant) if grant.module == module => {
            // A name may be granted only together with where it leads.
            grant.private |= grant.http.iter().any(|origin| is_name(origin));
            grant.note = Some("amends dev".to_owned());
            Some(grant)
        }
        _ => None,
    }
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
    fn the_hosts_command_says_what_to_grant() {
        let grant = granting("amends grant shop --http http://127.0.0.1:9000 --namespace test", "shop").unwrap();
        assert_eq!((grant.http.as_slice(), grant.private), (&["http://127.0.0.1:9000".to_owned()][..], false));
        assert!(granting("amends grant shop --http http://localhost:9000", "shop").unwrap().private);
        assert!(granting("amends grant trip --http http://127.0.0.1:9000", "shop").is_none());
        assert!(granting("amends retry T1", "shop").is_none());
        assert!(granting("ask the operator", "shop").is_none());
    }
}
