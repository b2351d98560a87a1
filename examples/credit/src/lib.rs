//! Customers with a credit limit, and orders that take credit: two aggregates.

#![forbid(unsafe_code)]

pub mod customer;
pub mod order;

use amends_sdk::Module;

/// The module.
pub fn module() -> Module {
    Module::new("credit").aggregate(customer::customer()).aggregate(order::order())
}
amends_sdk::export!(aggregate: module);

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_would_take_the_module() {
        assert_eq!(super::module().check(), Ok(()));
    }
}
