//! Variables that a platform sets for the services beside a process. They are not settings, although their names may begin as
//! those of settings.

/// The suffixes of Kubernetes' variables for a port of a service, as `PORT_8420_TCP_ADDR`, after the protocol.
const OF_PORT: [&str; 4] = ["", "_proto", "_port", "_addr"];

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Whether a platform sets a variable with this suffix. `key` is in lower case, without the name of the table.
///
/// The name of a service may be longer than that of the table: `amends-store-backup` gives `backup_service_host`.
pub(super) fn is_injected(key: &str, value: &str) -> bool {
    let ends = |end: &str| key == end || key.ends_with(&format!("_{end}"));
    let is_address = PROTOCOLS.iter().any(|protocol| value.starts_with(&format!("{protocol}://")));
    ends("service_host")
        || ends("service_port")
        || key.starts_with("service_port_")
        || key.contains("_service_port_")
        || (ends("port") && is_address)
        || is_of_port(key)
        // Links between containers, as Docker sets them.
        || (ends("name") && value.starts_with('/'))
        || key.starts_with("env_")
}

/// As `port_8420_tcp_addr`.
fn is_of_port(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("port_").or_else(|| key.split_once("_port_").map(|(_, rest)| rest)) else { return false };
    let Some((number, rest)) = rest.split_once('_') else { return false };
    let is_protocol = |protocol: &str| rest.strip_prefix(protocol).is_some_and(|end| OF_PORT.contains(&end));
    number.parse::<u16>().is_ok() && PROTOCOLS.iter().any(|protocol| is_protocol(protocol))
}
