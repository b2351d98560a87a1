//! Stages: steps that run in parallel.

use std::rc::Rc;

use crate::step::{Erased, Step, kind};

/// Steps that run in parallel: a tuple of steps, or a `Vec` or array of steps of one type.
pub trait Stage<I> {
    /// The steps, in the order in which they are declared.
    fn steps(self) -> Steps;
}

/// The steps of a stage, without their types. Collected from the steps of several stages, it is a stage of all of them: that is
/// how a type of one's own is a [`Stage`] whose steps are of several kinds.
pub struct Steps(pub(crate) Vec<Rc<Erased>>);

impl FromIterator<Steps> for Steps {
    fn from_iter<S: IntoIterator<Item = Steps>>(stages: S) -> Steps {
        Steps(stages.into_iter().flat_map(|steps| steps.0).collect())
    }
}

impl<K: kind::Complete, I, O> Stage<I> for Vec<Step<K, I, O>> {
    fn steps(self) -> Steps {
        Steps(self.into_iter().map(Step::erase).collect())
    }
}

impl<K: kind::Complete, I, O, const N: usize> Stage<I> for [Step<K, I, O>; N] {
    fn steps(self) -> Steps {
        Steps(self.into_iter().map(Step::erase).collect())
    }
}

macro_rules! tuple_stages {
    ($($kind:ident $output:ident $step:ident),+) => {
        impl<I, $($kind: kind::Complete, $output),+> Stage<I> for ($(Step<$kind, I, $output>,)+) {
            fn steps(self) -> Steps {
                let ($($step,)+) = self;
                Steps(vec![$($step.erase()),+])
            }
        }
    };
}

tuple_stages!(K1 O1 s1);
tuple_stages!(K1 O1 s1, K2 O2 s2);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5, K6 O6 s6);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5, K6 O6 s6, K7 O7 s7);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5, K6 O6 s6, K7 O7 s7, K8 O8 s8);
