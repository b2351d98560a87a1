//! `participants [ADDRESS]`: the trip's services, until it is interrupted.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;

use participants::Participants;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8430".to_owned());
    let Ok(address) = argument.parse::<SocketAddr>() else {
        eprintln!("usage: participants [ADDRESS], as 127.0.0.1:8430; port 0 takes a free one");
        return ExitCode::from(2);
    };
    match Participants::start_on(address) {
        Ok(participants) => {
            println!("participants ready on {}", participants.url());
            loop {
                thread::park();
            }
        }
        Err(error) => {
            eprintln!("failed to listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
