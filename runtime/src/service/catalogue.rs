//! What is deployed, as it is committed: a fold of the module streams that continues where the last read of it ended.
//!
//! The shard has the same fold in memory, and that one is ahead of the disk: it includes versions that are not durable yet, which
//! must not be shown (law 2).

use std::sync::{Mutex, MutexGuard, PoisonError};

use amends_core::id::Namespace;

use crate::{
    engine::{
        kernel::row,
        module::{self, Modules},
        port::{ModuleView, Offered},
        saga::read,
    },
    journal::{Fact, keys, record},
    store::{Range, Store, StoreError, Table},
};

/// The committed modules of the namespaces that were asked about.
#[derive(Debug, Default)]
pub(super) struct Catalogue(Mutex<Modules>);

impl Catalogue {
    /// The modules of a namespace, by name.
    pub(super) fn modules(&self, store: &dyn Store, namespace: &Namespace) -> Result<Vec<ModuleView>, StoreError> {
        let modules = self.caught_up(store, namespace)?;
        let live = read::live(store, namespace)?;
        Ok(module::views(&modules, &live, namespace))
    }

    /// What new sagas of a namespace start on, by name.
    pub(super) fn definitions(&self, store: &dyn Store, namespace: &Namespace) -> Result<Vec<Offered>, StoreError> {
        Ok(self.caught_up(store, namespace)?.offered(namespace))
    }

    /// What is said of the modules of a namespace as they are committed.
    pub(super) fn of<T>(
        &self,
        store: &dyn Store,
        namespace: &Namespace,
        said: impl FnOnce(&Modules) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        said(&*self.caught_up(store, namespace)?)
    }

    /// What is said of the modules of all namespaces as they are committed.
    pub(super) fn of_all<T>(&self, store: &dyn Store, said: impl FnOnce(&Modules) -> T) -> Result<T, StoreError> {
        let mut namespaces = Vec::new();
        for row in store.rows(&Range::under(Table::Modules, &[], usize::MAX))? {
            let (namespace, ..) = keys::parse_module(&row.key)?;
            namespaces.push(namespace);
        }
        namespaces.dedup();
        let mut modules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for namespace in &namespaces {
            if let Err(error) = catch_up(&mut modules, store, namespace) {
                *modules = Modules::default();
                return Err(error);
            }
        }
        Ok(said(&modules))
    }

    /// The fold, with every record of the namespace's modules that is committed now.
    fn caught_up(&self, store: &dyn Store, namespace: &Namespace) -> Result<MutexGuard<'_, Modules>, StoreError> {
        let mut modules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = catch_up(&mut modules, store, namespace) {
            // Perhaps a half of a stream was folded: the next read begins anew.
            *modules = Modules::default();
            return Err(error);
        }
        Ok(modules)
    }
}

fn catch_up(modules: &mut Modules, store: &dyn Store, namespace: &Namespace) -> Result<(), StoreError> {
    let mut streams = Vec::new();
    for row in store.rows(&keys::modules(namespace, usize::MAX))? {
        let (_, name, _) = keys::parse_module(&row.key)?;
        streams.push((name, row::decode::<u64>(&row.value, "where a module's stream begins")?));
    }
    // There is a row for each version, in the order of names.
    streams.dedup();
    for (name, start) in streams {
        let folded = modules.get(namespace, name.as_str()).map_or(0, |module| module.revision);
        for stored in store.stream(start, folded + 1, usize::MAX)? {
            let record = record::decode_stored(&stored)?;
            if let Fact::Module(event) = &record.fact {
                modules.apply(namespace, name.as_str(), start, event, record.at).map_err(StoreError::Corrupt)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use amends_core::{event::Act, id::Namespace};

    use crate::{
        engine::port::{Activation, Request, Which},
        service::{
            reader::Reader,
            testing::{TestHost, namespace, origin, run},
        },
        store::Store,
    };

    /// What a reader shows of the modules and definitions of the namespace.
    fn shown(reader: &Reader) -> String {
        format!("{:?}\n{:?}", reader.modules(&namespace()).unwrap(), reader.definitions(&namespace()).unwrap())
    }

    /// Three folds of the same records: one that continues after each change, one from the beginning, and the shard's own.
    #[test]
    fn a_fold_that_continues_shows_what_a_fold_from_the_beginning_and_the_shard_show() {
        let host = TestHost::new();
        let continued = &host.services.reader;
        let check = |what: &str| {
            let anew = Reader::new(host.store.clone() as Arc<dyn Store>, Default::default());
            assert_eq!(shown(continued), shown(&anew), "{what}");
            let modules = run(host.services.intake.ask(|answer| Request::Modules(origin(), answer))).unwrap();
            let definitions = run(host.services.intake.ask(|answer| Request::Definitions(origin(), answer))).unwrap();
            assert_eq!(shown(continued), format!("{modules:?}\n{definitions:?}"), "{what}");
        };
        check("deployed");
        host.deploy(b"\0asm order");
        check("another module");
        host.deploy(b"\0asm trip again");
        check("another version");
        let act = Act { note: "back".into(), by: "ann".into() };
        let which = Which::Version(1);
        run(host.services.intake.ask(|answer| {
            Request::Activate(origin(), Activation { versions: vec![("trip".into(), which)], act, ..Default::default() }, answer)
        }))
        .unwrap();
        check("activated");
        run(host.services.deploys.remove(origin(), "trip".into(), 2)).unwrap();
        check("removed");
        assert!(continued.modules(&Namespace::new("other").unwrap()).unwrap().is_empty());
    }
}
