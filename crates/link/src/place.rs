//! Where a connection comes from, as the limits of trackers and peers see it: the host, and the network around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first address of a range of addresses that count as one.
pub type Range = IpAddr;

/// An address, cut twice. What one household or one rented machine can change at will is one host: an IPv4 address,
/// an IPv6 /64. What one customer of a provider usually gets at most is one network: an IPv4 /24, an IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host.
    pub host: Range,
    /// The network around it.
    pub network: Range,
}

impl Place {
    /// On loopback each address is a network of its own: 127/8 stands for the world in tests.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self { host: ip, network: ip },
            IpAddr::V4(v4) => {
                let network = Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8));
                Self { host: IpAddr::V4(v4), network: IpAddr::V4(network) }
            }
            IpAddr::V6(v6) => {
                let cut = |bits: u32| IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << bits)));
                Self { host: cut(64), network: cut(80) }
            }
        }
    }

    /// 127.0.0.1 or ::1: a whole class may be behind it, and whoever is there can do worse than ask.
    pub fn is_this_machine(&self) -> bool {
        self.host == IpAddr::V4(Ipv4Addr::LOCALHOST) || self.host == IpAddr::V6(Ipv6Addr::LOCALHOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_networks() {
        let check = |text: &str, host: &str, network: &str, this_machine: bool| {
            let place = Place::of(text.parse().unwrap());
            let found = (place.host.to_string(), place.network.to_string(), place.is_this_machine());
            assert_eq!(found, (host.to_owned(), network.to_owned(), this_machine), "{text}");
        };
        check("192.0.2.7", "192.0.2.7", "192.0.2.0", false);
        check("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0", false);
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::", false);
        check("127.0.0.1", "127.0.0.1", "127.0.0.1", true);
        check("::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1", true);
        check("::1", "::1", "::1", true);
        check("127.3.2.1", "127.3.2.1", "127.3.2.1", false);
    }
}
