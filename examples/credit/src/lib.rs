//! Customers with a credit limit, and orders that take credit: two aggregates, two sagas over them, and two
//! views of what they record.

#![forbid(unsafe_code)]

pub mod cancel;
pub mod customer;
pub mod history;
pub mod order;
pub mod overview;
pub mod place;

use amends_sdk::Module;

/// The module. Its second version has no customers: they are to move into a module of their own.
pub fn module() -> Module {
    let module = Module::new("credit")
        .saga(place::place_order())
        .saga(cancel::cancel_order())
        .aggregate(order::order())
        .projection(history::order_history())
        .projection(overview::customer_overview());
    if cfg!(feature = "v2") { module } else { module.aggregate(customer::customer()) }
}
amends_sdk::export!(saga: module, aggregate: module, projection: module);

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_would_take_the_module() {
        assert_eq!(super::module().check(), Ok(()));
    }
}
