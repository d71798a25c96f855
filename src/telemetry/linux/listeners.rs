//! Which processes of this host answer at an address: the owners of the socket that listens there.
//!
//! A program that only passes connections on is not the target, and is not measured in its place.

use crate::telemetry::{Unseen, is_local};
use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDTarget, Process};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Programs that listen here for something that runs elsewhere, names as the kernel keeps them, and
/// whether that is another host: a container runs on this one, the end of a tunnel does not.
const FORWARDERS: [(&str, bool); 6] = [
    ("docker-proxy", false),
    ("rootlessport", false),
    ("kubectl", true),
    ("ssh", true),
    ("sshd", true),
    ("sshd-session", true),
];

/// The processes that listen on the first of these addresses on which any does, in ascending order.
///
/// # Errors
/// Why none is known: the target is elsewhere, nothing listens, its owner is hidden from this user,
/// or it only passes connections on.
pub fn listeners(addresses: &[SocketAddr]) -> Result<Vec<u32>, Unseen> {
    if !is_local(addresses) {
        return Err(Unseen {
            reason: "the target is on another host, where its processes cannot be seen; run `bench` there"
                .to_owned(),
            elsewhere: true,
        });
    }
    let sockets = listening()
        .map_err(|error| Unseen::here(format!("/proc/net/tcp cannot be read: {error}")))?;
    for &address in addresses {
        let serving = serving(&sockets, address);
        if let Some(owner) = serving.first().map(|socket| socket.uid) {
            let inodes = serving.iter().map(|socket| socket.inode).collect();
            return owners(&inodes, address, owner);
        }
    }
    let names: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    Err(Unseen::here(format!(
        "no process that is visible here listens on {}",
        names.join(" or ")
    )))
}

/// All listening TCP sockets of this network namespace.
fn listening() -> Result<Vec<TcpNetEntry>, ProcError> {
    let mut sockets = procfs::net::tcp()?;
    // A kernel without IPv6 has no such table.
    sockets.extend(procfs::net::tcp6().unwrap_or_default());
    sockets.retain(|socket| socket.state == TcpState::Listen);
    Ok(sockets)
}

/// The sockets that the kernel would hand a connection to this address: those bound to it exactly, or
/// else those bound to any address. Several may share one port.
fn serving(sockets: &[TcpNetEntry], address: SocketAddr) -> Vec<&TcpNetEntry> {
    let ip = address.ip().to_canonical();
    let bound = |matches: &dyn Fn(IpAddr) -> bool| -> Vec<&TcpNetEntry> {
        sockets
            .iter()
            .filter(|socket| socket.local_address.port() == address.port())
            .filter(|socket| matches(socket.local_address.ip()))
            .collect()
    };
    // A connection to the unspecified address goes to loopback, where a listener may be of any kind.
    if ip.is_unspecified() {
        return bound(&|local| local.is_unspecified() || local.to_canonical().is_loopback());
    }
    let exactly = bound(&|local| local.to_canonical() == ip);
    if !exactly.is_empty() {
        return exactly;
    }
    // A socket for any IPv6 address usually takes IPv4 as well.
    let same_family = bound(&|local| local.is_unspecified() && local.is_ipv4() == ip.is_ipv4());
    if same_family.is_empty() && ip.is_ipv4() {
        return bound(&|local| local.is_unspecified());
    }
    same_family
}

/// The processes that have one of these sockets open.
fn owners(inodes: &BTreeSet<u64>, address: SocketAddr, owner: u32) -> Result<Vec<u32>, Unseen> {
    let processes = procfs::process::all_processes().map_err(|error| {
        Unseen::here(format!(
            "the processes of this host cannot be listed: {error}"
        ))
    })?;
    // Processes come and go meanwhile, and those of other users are closed to this one.
    let found: BTreeMap<u32, String> = processes
        .filter_map(Result::ok)
        .filter(|process| has_socket(process, inodes))
        .filter_map(|process| {
            let name = process.stat().ok()?.comm;
            Some((u32::try_from(process.pid).ok()?, name))
        })
        .collect();
    let forwarder = FORWARDERS
        .iter()
        .find(|(name, _)| found.values().any(|found| found == name));
    if let Some((name, elsewhere)) = forwarder {
        return Err(Unseen {
            reason: format!(
                "`{name}` listens on {address} and passes connections on: the target's own processes \
                 run elsewhere"
            ),
            elsewhere: *elsewhere,
        });
    }
    if found.is_empty() {
        return Err(Unseen::here(format!(
            "a process of user {owner} listens on {address}, and this user may not look into it; run \
             `bench` as that user"
        )));
    }
    Ok(found.into_keys().collect())
}

fn has_socket(process: &Process, inodes: &BTreeSet<u64>) -> bool {
    let Ok(mut descriptors) = process.fd() else {
        return false;
    };
    descriptors.any(|descriptor| {
        descriptor.is_ok_and(
            |descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if inodes.contains(&inode)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::ExplicitSystemInfo;
    use procfs::net::TcpNetEntries;
    use procfs::prelude::FromReadSI;
    use std::net::TcpListener;

    /// A table of listening sockets: local address and port as the kernel writes them, and the inode.
    fn table(rows: &[(&str, u64)]) -> Vec<TcpNetEntry> {
        let mut text = "  sl  local_address rem_address   st …\n".to_owned();
        for (local, inode) in rows {
            let remote = "0".repeat(local.len() - 5);
            text.push_str(&format!(
                "   0: {local} {remote}:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 {inode} 1 0\n"
            ));
        }
        let system = ExplicitSystemInfo {
            boot_time_secs: 0,
            ticks_per_second: 100,
            page_size: 4096,
            is_little_endian: true,
        };
        TcpNetEntries::from_read(text.as_bytes(), &system)
            .expect("a /proc/net/tcp")
            .0
    }

    fn inodes(rows: &[(&str, u64)], address: &str) -> Vec<u64> {
        let sockets = table(rows);
        serving(&sockets, address.parse().expect("an address"))
            .iter()
            .map(|socket| socket.inode)
            .collect()
    }

    const LOOPBACK: &str = "0100007F:1F40";
    const ANY_4: &str = "00000000:1F40";
    const ANY_6: &str = "00000000000000000000000000000000:1F40";
    const MAPPED: &str = "0000000000000000FFFF00000100007F:1F40";

    #[test]
    fn the_most_exact_binding_serves() {
        let rows = [(ANY_6, 1), (ANY_4, 2), (LOOPBACK, 3)];
        assert_eq!(inodes(&rows, "127.0.0.1:8000"), [3]);
        assert_eq!(inodes(&rows, "127.0.0.2:8000"), [2]);
        assert_eq!(inodes(&rows, "[::1]:8000"), [1]);
        assert!(inodes(&rows, "127.0.0.1:8001").is_empty());
    }

    #[test]
    fn an_ipv6_socket_serves_ipv4_where_no_other_does() {
        assert_eq!(inodes(&[(ANY_6, 1)], "127.0.0.1:8000"), [1]);
        assert_eq!(inodes(&[(MAPPED, 1)], "127.0.0.1:8000"), [1]);
        assert!(inodes(&[(ANY_4, 1)], "[::1]:8000").is_empty());
    }

    #[test]
    fn sockets_that_share_a_port_all_serve() {
        assert_eq!(inodes(&[(ANY_4, 1), (ANY_4, 2)], "127.0.0.1:8000"), [1, 2]);
        assert_eq!(inodes(&[(LOOPBACK, 1)], "0.0.0.0:8000"), [1]);
    }

    #[test]
    fn finds_the_process_that_listens() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            // A machine without IPv6 has nothing to find there.
            let Ok(listener) = TcpListener::bind(address) else {
                assert!(address.starts_with('['), "{address}");
                continue;
            };
            let bound = listener.local_addr().expect("bound");
            let found = listeners(&[bound]).expect("this process listens");
            // Another test may be starting a child just now, which has all descriptors for a moment.
            assert!(found.contains(&std::process::id()), "{bound}: {found:?}");
        }
    }

    #[test]
    fn says_why_nothing_is_found() {
        // Nothing can listen on port 0.
        let nowhere = "127.0.0.1:0".parse().expect("an address");
        let unseen = listeners(&[nowhere]).expect_err("nothing listens");
        assert!(
            unseen.reason.ends_with("listens on 127.0.0.1:0"),
            "{unseen:?}"
        );
        assert!(!unseen.elsewhere);
        let elsewhere = "192.0.2.1:80".parse().expect("an address");
        let unseen = listeners(&[elsewhere]).expect_err("not this host");
        assert!(unseen.reason.contains("on another host"), "{unseen:?}");
        assert!(unseen.elsewhere);
    }
}
