//! Circuits in memory, which one process needs, keep what all must.

use std::sync::Arc;

use parlance_conformance::circuits::{self as suite, POLICY};
use parlance_shared::{circuits::LocalCircuits, port::circuits::Circuits};

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let circuits: Arc<dyn Circuits> = Arc::new(LocalCircuits::new(POLICY));
                suite::$name((Arc::clone(&circuits), circuits)).await;
            }
        )*
    };
}

conforms!(a_circuit_opens_after_failures_in_a_row, others_learn_that_it_opened_and_closed, all_workers_make_one_probe,);
