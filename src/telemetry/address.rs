//! Which addresses belong to this host.
//!
//! Nothing is ever sent: a socket is bound and dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether all of these addresses are this host's own: loopback, or those of its interfaces. `false`
/// for none at all.
pub fn is_local(addresses: &[SocketAddr]) -> bool {
    !addresses.is_empty() && addresses.iter().all(is_own)
}

fn is_own(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    if ip.is_multicast() {
        return false;
    }
    // A host may allow any address to be bound (`ip_nonlocal_bind`, usual beside keepalived). One that
    // is reserved for documentation shows it: then a bound socket proves nothing.
    binds(&with_ip(address, ip)) && !binds(&SocketAddr::new(documentation(ip), 0))
}

/// The address itself keeps the interface of a link-local one.
fn with_ip(address: &SocketAddr, ip: IpAddr) -> SocketAddr {
    let mut address = *address;
    if address.ip() != ip {
        address = SocketAddr::new(ip, 0);
    }
    address.set_port(0);
    address
}

/// The kernel lets a socket be bound to the addresses of this host only.
fn binds(address: &SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok()
}

/// An address that no host has.
fn documentation(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(addresses: &[&str]) -> bool {
        let addresses: Vec<SocketAddr> = addresses
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        is_local(&addresses)
    }

    #[test]
    fn loopback_is_local_in_all_its_forms() {
        assert!(local(&["127.0.0.1:80", "[::1]:80"]));
        assert!(local(&["127.8.9.10:1"]));
        assert!(local(&["[::ffff:127.0.0.1]:80"]));
        assert!(local(&["0.0.0.0:80"]));
    }

    #[test]
    fn other_hosts_are_not_and_nothing_is_not() {
        assert!(!local(&[]));
        assert!(!local(&["192.0.2.7:80"]));
        assert!(!local(&["[2001:db8::7]:80"]));
        assert!(!local(&["224.0.0.1:80"]));
        // One replica elsewhere is enough.
        assert!(!local(&["127.0.0.1:80", "192.0.2.7:80"]));
    }

    /// The host's own address on its way out, if it has any way out: connecting a UDP socket sends
    /// nothing, it only makes the kernel choose.
    #[test]
    fn the_address_of_an_interface_is_local() {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("any port");
        if socket.connect("192.0.2.1:9").is_err() {
            return;
        }
        let own = socket.local_addr().expect("bound");
        let free_binding = binds(&SocketAddr::new(documentation(own.ip()), 0));
        assert_eq!(is_local(&[own]), own.ip().is_loopback() || !free_binding);
    }
}
