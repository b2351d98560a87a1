//! An exported function of a component, with its types. It is looked up in each fresh instance, and its types are checked once.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicBool, Ordering},
};

use wasmtime::{
    Store,
    component::{ComponentExportIndex, ComponentType, Instance, Lift, Lower, TypedFunc},
};

use super::guest::Guest;

/// A function that takes one argument and returns one result.
pub(super) struct Export<A, R> {
    index: ComponentExportIndex,
    /// The component's function has these types, as was seen on one of its instances: all have the same.
    is_checked: AtomicBool,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Export<A, R>
where
    A: ComponentType + Lower + Send + Sync,
    R: ComponentType + Lift + Send + Sync + 'static,
{
    pub(super) fn new(index: ComponentExportIndex) -> Self {
        Self { index, is_checked: AtomicBool::new(false), types: PhantomData }
    }

    /// Calls it on an instance of its component.
    pub(super) async fn call(&self, instance: Instance, store: &mut Store<Guest>, told: &A) -> wasmtime::Result<R> {
        let (result,) = self.typed(instance, store)?.call_async(store, (told,)).await?;
        Ok(result)
    }

    /// Comparing the types costs as much as the rest of a small call: two records of twenty fields, with what is in them.
    fn typed<'a>(&self, instance: Instance, store: &mut Store<Guest>) -> wasmtime::Result<TypedFunc<(&'a A,), (R,)>> {
        // An index of another component finds nothing.
        let function = instance.get_func(&mut *store, self.index);
        let function = function.ok_or_else(|| wasmtime::format_err!("an export is missing that was there when it was linked"))?;
        if self.is_checked.load(Ordering::Relaxed) {
            #[expect(unsafe_code, reason = "wasmtime's check of the types is left out where it was made before")]
            // SAFETY: the index belongs to one component, and the types of a component's functions never change. They were compared
            // with these, which are those of this export and of no other, on an earlier instance.
            return Ok(unsafe { TypedFunc::new_unchecked(function) });
        }
        let typed = function.typed(&*store)?;
        self.is_checked.store(true, Ordering::Relaxed);
        Ok(typed)
    }
}
