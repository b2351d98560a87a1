//! A denied call for people: what was refused, and the command that permits it.

use amends_core::{
    denial::{Address, Denial, DenialReason, Network, Permit},
    id::Namespace,
};
use amends_wire::denial as wire;

use crate::origin::{Origin, not_an_origin};

/// A denial as the wire says it.
pub fn denial(denial: &Denial) -> wire::Denial {
    let (mut address, mut method) = (None, None);
    let reason = match &denial.reason {
        DenialReason::NotGranted => wire::DenialReason::NotGranted,
        DenialReason::PrivateAddress(private) => {
            address = Some(private.ip.to_string());
            wire::DenialReason::PrivateAddress
        }
        DenialReason::ForbiddenAddress(forbidden) => {
            address = Some(forbidden.ip.to_string());
            wire::DenialReason::ForbiddenAddress
        }
        DenialReason::OwnListener => wire::DenialReason::OwnListener,
        DenialReason::EffectFree => wire::DenialReason::EffectFree,
        DenialReason::UnsafeInCheck { method: unsafe_method } => {
            method = Some(unsafe_method.clone());
            wire::DenialReason::UnsafeInCheck
        }
        DenialReason::NotAnOrigin { .. } => wire::DenialReason::NotAnOrigin,
    };
    let permit = denial.permit().map(|permit| match permit {
        Permit::Grant => wire::Permit::Grant,
        Permit::PrivateGrant => wire::Permit::PrivateGrant,
    });
    wire::Denial { origin: denial.origin.clone(), reason, permit, address, method }
}

/// What was refused, and why.
pub fn sentence(denial: &Denial) -> String {
    let origin = &denial.origin;
    match &denial.reason {
        DenialReason::NotGranted => origin.clone(),
        DenialReason::PrivateAddress(address) => format!("{origin}{}", leads_to(origin, address)),
        DenialReason::ForbiddenAddress(address) => format!("{origin}{}, which no grant opens", leads_to(origin, address)),
        DenialReason::OwnListener => format!("{origin}: the host itself listens there, which no guest may reach"),
        DenialReason::EffectFree => format!("step declares effect-free and called {origin}"),
        DenialReason::UnsafeInCheck { method } => {
            format!("{method} {origin}: only GET, HEAD, OPTIONS and TRACE leave a check, which must change nothing")
        }
        DenialReason::NotAnOrigin { rule } => not_an_origin(origin, rule),
    }
}

/// The command that permits the call. `None` means that no grant does.
pub fn command(denial: &Denial, namespace: &Namespace, module: &str) -> Option<String> {
    let private = match denial.permit()? {
        Permit::Grant => "",
        Permit::PrivateGrant => " --private",
    };
    let namespace = match namespace.as_str() {
        "default" => String::new(),
        namespace => format!(" --namespace {namespace}"),
    };
    Some(format!("amends grant {module} --http {}{private}{namespace}", denial.origin))
}

/// What kind of address it is, and the address itself if the origin does not show it.
fn leads_to(origin: &str, address: &Address) -> String {
    let is_shown = Origin::parse(origin).is_ok_and(|origin| origin.address().is_some());
    let network = network(address);
    if is_shown { format!(" ({network})") } else { format!(" leads to {} ({network})", address.ip) }
}

fn network(address: &Address) -> &'static str {
    match address.network {
        Network::Loopback => "loopback",
        Network::Private => "a private network",
        Network::SiteLocal => "a site-local network",
        Network::CarrierShared => "a carrier's shared network",
        Network::LinkLocal if address.ip.is_ipv4() => "link-local, where clouds keep their metadata",
        Network::LinkLocal => "link-local",
        Network::CloudMetadata => "a cloud's metadata",
        Network::ThisNetwork => "this network",
        Network::Unspecified => "the unspecified address",
        Network::Multicast => "multicast",
        Network::Broadcast => "broadcast",
        Network::Protocols => "reserved for protocols",
        Network::Documentation => "reserved for documentation",
        Network::Benchmarks => "reserved for benchmarks",
        Network::Reserved => "reserved",
        Network::Ipv4Compatible => "an IPv4-compatible address",
        Network::Nat64 => "an IPv4 address behind NAT64",
        Network::SixToFour => "an IPv4 address behind 6to4",
        Network::Teredo => "an IPv4 address behind Teredo",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_denial_has_a_sentence_a_form_for_programs_and_its_command_if_a_grant_helps() {
        let address = |ip: &str, network| Address { ip: ip.parse().unwrap(), network };
        let denials = [
            Denial::new("https://hotel.example", DenialReason::NotGranted),
            Denial::new("http://hotel.test:9000", DenialReason::PrivateAddress(address("10.0.0.5", Network::Private))),
            Denial::new("http://169.254.169.254", DenialReason::ForbiddenAddress(address("169.254.169.254", Network::LinkLocal))),
            Denial::new("http://meta.test", DenialReason::ForbiddenAddress(address("fe80::1", Network::LinkLocal))),
            Denial::new("http://127.0.0.1:8420", DenialReason::OwnListener),
            Denial::new("https://hotel.example", DenialReason::EffectFree),
            Denial::new("https://hotel.example", DenialReason::UnsafeInCheck { method: "POST".to_owned() }),
            Denial::new("https://a@b.example/x", DenialReason::NotAnOrigin { rule: "a rule is broken".to_owned() }),
        ];
        let namespace = Namespace::new("shop").unwrap();
        let told = denials.iter().map(|one| {
            let command = command(one, &namespace, "trip").unwrap_or_else(|| "no grant".to_owned());
            format!("{}\n  {command}\n  {}\n", sentence(one), serde_json::to_string(&denial(one)).unwrap())
        });
        expect![[r#"
            https://hotel.example
              amends grant trip --http https://hotel.example --namespace shop
              {"origin":"https://hotel.example","reason":"not_granted","permit":"grant"}
            http://hotel.test:9000 leads to 10.0.0.5 (a private network)
              amends grant trip --http http://hotel.test:9000 --private --namespace shop
              {"origin":"http://hotel.test:9000","reason":"private_address","permit":"private_grant","address":"10.0.0.5"}
            http://169.254.169.254 (link-local, where clouds keep their metadata), which no grant opens
              no grant
              {"origin":"http://169.254.169.254","reason":"forbidden_address","address":"169.254.169.254"}
            http://meta.test leads to fe80::1 (link-local), which no grant opens
              no grant
              {"origin":"http://meta.test","reason":"forbidden_address","address":"fe80::1"}
            http://127.0.0.1:8420: the host itself listens there, which no guest may reach
              no grant
              {"origin":"http://127.0.0.1:8420","reason":"own_listener"}
            step declares effect-free and called https://hotel.example
              no grant
              {"origin":"https://hotel.example","reason":"effect_free"}
            POST https://hotel.example: only GET, HEAD, OPTIONS and TRACE leave a check, which must change nothing
              no grant
              {"origin":"https://hotel.example","reason":"unsafe_in_check","method":"POST"}
            `https://a@b.example/x` is no origin: a rule is broken; write it as https://api.example.com or http://127.0.0.1:9000
              no grant
              {"origin":"https://a@b.example/x","reason":"not_an_origin"}
        "#]]
        .assert_eq(&told.collect::<String>());
    }
}
