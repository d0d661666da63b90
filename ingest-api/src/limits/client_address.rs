//! Where a call comes from: the socket's other end, or what the trusted proxies in front say.
//!
//! Each proxy appends the address that called it to `X-Forwarded-For`. With so many trusted ones, the entry that the
//! outermost of them appended is that many from the end; what stands before it was sent by whoever called, and is worth
//! nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection that a request came on; in its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Where a request comes from, as far as can be trusted; in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// Of a request that passed so many trusted proxies.
    pub(crate) fn of(peer: Peer, headers: &HeaderMap, trusted: u8) -> Self {
        let mut address = peer.0.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
        for entry in entries.take(trusted.into()) {
            // A proxy that says something else than an address is the last one that can be told.
            let Some(said) = parse(entry) else { break };
            address = said;
        }
        Self(address)
    }

    /// What is limited as one: an address, or of version 6 the network that one customer is given.
    pub(crate) fn network(self) -> u64 {
        match self.0 {
            // No network of version 6 that calls has such a number.
            IpAddr::V4(address) => u64::from(u32::from(address)),
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        }
    }
}

/// An address, with or without a port.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn address(lines: &[&str], trusted: u8) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        ClientAddress::of(Peer("10.0.0.9".parse().unwrap()), &headers, trusted).0.to_string()
    }

    #[test]
    fn only_what_trusted_proxies_append_counts() {
        assert_eq!(address(&["1.1.1.1, 2.2.2.2"], 0), "10.0.0.9");
        assert_eq!(address(&["1.1.1.1, 2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(address(&["9.9.9.9, 1.1.1.1,2.2.2.2"], 2), "1.1.1.1");
        assert_eq!(address(&["9.9.9.9", "1.1.1.1", "2.2.2.2"], 2), "1.1.1.1", "lines are one list");
        assert_eq!(address(&["2.2.2.2"], 2), "2.2.2.2", "past the outer proxy, the inner one is believed");
        assert_eq!(address(&[], 2), "10.0.0.9");
        assert_eq!(address(&["1.1.1.1, nonsense"], 1), "10.0.0.9");
        assert_eq!(address(&["1.1.1.1, nonsense, 2.2.2.2"], 3), "2.2.2.2");
        assert_eq!(address(&["1.1.1.1,, 2.2.2.2 ,"], 1), "2.2.2.2");
        assert_eq!(address(&["1.1.1.1:4711"], 1), "1.1.1.1");
        assert_eq!(address(&["[2001:db8::1]:4711"], 1), "2001:db8::1");
        assert_eq!(address(&["[2001:db8::1]"], 1), "2001:db8::1");
        assert_eq!(address(&["::ffff:1.2.3.4"], 1), "1.2.3.4");
    }

    #[test]
    fn a_customers_network_is_one() {
        let network = |text: &str| ClientAddress(text.parse().unwrap()).network();
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("1.2.3.4"), network("1.2.3.5"));
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(bytes in prop::collection::vec(0x20_u8..=0xff, 0..60), trusted in 0_u8..4) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.append(FORWARDED_FOR, value);
            }
            let _ = ClientAddress::of(Peer(Ipv6Addr::LOCALHOST.into()), &headers, trusted).network();
        }
    }
}
