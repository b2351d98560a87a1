//! What the engine knows, in the words of the wire, where more than one route or the command line shows it; what one route shows
//! stands in its file. Pure functions; nothing here asks or decides anything.

pub mod value;

pub mod saga;

pub mod recorded;

pub mod lock;

pub mod preview;

pub mod denial;

pub mod help;

pub mod remedy;

pub mod grants;

pub mod definition;
