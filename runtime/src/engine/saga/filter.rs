//! Which sagas a filter may be about, as far as their rows say.

use amends_core::{id::Namespace, job::SagaFilter};

use super::rows::Summary;

/// What the saga's row says does not stand against it. The rest only the saga itself can tell.
pub(crate) fn admits(filter: &SagaFilter, namespace: &Namespace, summary: &Summary) -> bool {
    let SagaFilter { definition, status, module, version, step: _, failure: _ } = filter;
    summary.namespace == *namespace
        && definition.as_ref().is_none_or(|definition| *definition == summary.definition)
        && status.is_none_or(|status| status == summary.status)
        && module.as_ref().is_none_or(|module| *module == summary.module)
        && version.is_none_or(|version| version == summary.version)
}
