//! Which addresses a guest may reach. What is not plainly the public internet needs a grant that says so, or is out of reach for ever.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use amends_core::denial::Network;

/// What a guest needs to reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reachable {
    /// A grant: the address is in the public internet.
    Global,
    /// A grant of this very address, or one that says `private`.
    Private(Network),
    /// No grant opens it.
    Never(Network),
}

use Reachable::{Global, Never, Private};

/// Where an address lies. IPv4 inside of IPv6 is looked at as what it reaches.
pub(super) fn reachable(address: IpAddr) -> Reachable {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> Reachable {
    match address.octets() {
        [0, ..] => Never(Network::ThisNetwork),
        [169, 254, ..] => Never(Network::LinkLocal),
        // Metadata services of clouds that do not use link-local addresses.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Never(Network::CloudMetadata),
        [224..=239, ..] => Never(Network::Multicast),
        [255, 255, 255, 255] => Never(Network::Broadcast),
        [127, ..] => Private(Network::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Private(Network::Private),
        [100, 64..=127, ..] => Private(Network::CarrierShared),
        [192, 0, 0, _] | [192, 88, 99, _] => Private(Network::Protocols),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Private(Network::Documentation),
        [198, 18..=19, ..] => Private(Network::Benchmarks),
        [240..=255, ..] => Private(Network::Reserved),
        _ => Global,
    }
}

fn v6(address: Ipv6Addr) -> Reachable {
    if let Some(inside) = address.to_ipv4_mapped() {
        return v4(inside);
    }
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Never(Network::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Private(Network::Loopback),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Never(Network::CloudMetadata),
        [0xfe80..=0xfebf, ..] => Never(Network::LinkLocal),
        [0xff00..=0xffff, ..] => Never(Network::Multicast),
        // Ways to write an IPv4 address: no nearer than what they lead to, and never global, for they may lead anywhere.
        [0, 0, 0, 0, 0, 0, high, low] => no_nearer(high, low, Network::Ipv4Compatible),
        [0x0064, 0xff9b, .., high, low] => no_nearer(high, low, Network::Nat64),
        [0x2002, high, low, ..] => no_nearer(high, low, Network::SixToFour),
        // Teredo hides the client's address by inverting it.
        [0x2001, 0, .., high, low] => no_nearer(!high, !low, Network::Teredo),
        [0xfc00..=0xfdff, ..] => Private(Network::Private),
        [0xfec0..=0xfeff, ..] => Private(Network::SiteLocal),
        [0x2001, 0x0001..=0x01ff, ..] => Private(Network::Protocols),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Private(Network::Documentation),
        [0x2000..=0x3fff, ..] => Global,
        _ => Private(Network::Reserved),
    }
}

fn no_nearer(high: u16, low: u16, network: Network) -> Reachable {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    match v4(Ipv4Addr::new(a, b, c, d)) {
        Never(inside) => Never(inside),
        Global | Private(_) => Private(network),
    }
}

/// The host itself listens there: a guest must not give its own host orders.
pub(super) fn is_own(address: SocketAddr, listeners: &[SocketAddr]) -> bool {
    let ip = address.ip().to_canonical();
    listeners.iter().any(|listener| {
        let listens = listener.ip().to_canonical();
        listener.port() == address.port() && (listens == ip || (listens.is_unspecified() && ip.is_loopback()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_that_is_not_the_public_internet_is_known() {
        let table = "
            1.1.1.1 global
            93.184.216.34 global
            172.32.0.1 global
            100.128.0.1 global
            2606:4700::1111 global
            ::ffff:1.1.1.1 global
            127.0.0.1 private
            127.255.255.254 private
            10.0.0.1 private
            172.16.0.1 private
            172.31.255.255 private
            192.168.1.1 private
            100.64.0.1 private
            192.0.0.1 private
            192.0.2.1 private
            198.18.0.1 private
            198.51.100.7 private
            203.0.113.9 private
            240.0.0.1 private
            ::1 private
            ::ffff:127.0.0.1 private
            ::ffff:10.1.2.3 private
            ::7f00:1 private
            64:ff9b::1.1.1.1 private
            64:ff9b::10.0.0.1 private
            64:ff9b:1::10.0.0.1 private
            2002:0a00:0001:: private
            2002:0101:0101:: private
            2001:0:1::1 private
            2001:db8::1 private
            2001:10::1 private
            3fff::1 private
            fc00::1 private
            fd12:3456::1 private
            fec0::1 private
            100::1 private
            4000::1 private
            0.0.0.0 never
            0.1.2.3 never
            169.254.169.254 never
            169.254.0.1 never
            ::ffff:169.254.169.254 never
            64:ff9b::169.254.169.254 never
            2002:a9fe:a9fe:: never
            2001:0:1::5601:5601 never
            ::a9fe:a9fe never
            100.100.100.200 never
            168.63.129.16 never
            fd00:ec2::254 never
            fe80::1 never
            224.0.0.1 never
            239.1.1.1 never
            255.255.255.255 never
            ff02::1 never
            :: never";
        for line in table.trim().lines() {
            let (address, expected) = line.trim().split_once(' ').unwrap();
            let found = match reachable(address.parse().unwrap()) {
                Global => "global",
                Private(_) => "private",
                Never(_) => "never",
            };
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn the_hosts_own_listeners_are_found_in_every_disguise() {
        let listeners = ["127.0.0.1:8420".parse().unwrap(), "0.0.0.0:9090".parse().unwrap(), "[::]:7070".parse().unwrap()];
        let own = |text: &str| is_own(text.parse().unwrap(), &listeners);
        assert!(own("127.0.0.1:8420") && own("[::ffff:127.0.0.1]:8420") && own("127.0.0.9:9090") && own("[::1]:7070"));
        assert!(!own("127.0.0.1:8421") && !own("10.0.0.1:8420"));
    }
}
