//! Whether others can connect to this device.

use std::net::{IpAddr, SocketAddr};

use peerage_node::client::{Node, PortCheck, Reach, Refusal};

use crate::reply::{Done, Item, model};

/// What a device misses that nobody can connect to.
const PRICE: &str = "so nothing moves between this device and members whom it cannot reach either";

pub(super) async fn check(node: &Node) -> Result<Done, Refusal> {
    let checked = node.check_port().await?;
    let (said, note) = words(&checked);
    let item = Item::new(said.clone(), None, &model::PortCheck::from(&checked));
    Ok(Done { items: Some(vec![item]), ..Done::say(said) }.note(note))
}

/// What was found, and what to do or to know.
fn words(checked: &PortCheck) -> (String, Option<String>) {
    let PortCheck { listen, port, address, tracker, .. } = checked;
    let seen = address.parse::<SocketAddr>().ok().map(|address| address.ip().to_canonical());
    let said = match checked.reach {
        Reach::Device => format!("The tracker {tracker} can connect to this device at {address}"),
        Reach::Other => {
            format!("Something else than this device answers the tracker {tracker} at {address}, {PRICE}")
        }
        Reach::Refused => format!("The tracker {tracker} was refused at {address}, {PRICE}"),
        Reach::Silent => format!("The tracker {tracker} got no answer at {address}, {PRICE}"),
    };
    let note = match (checked.reach, seen) {
        (Reach::Device, Some(seen)) => is_near(seen).then(|| {
            "it is on this machine or in its network: a router may still keep out members elsewhere"
                .to_owned()
        }),
        (Reach::Device, None) => None,
        (_, Some(seen)) if listen.ip().is_loopback() && !seen.is_loopback() => Some(format!(
            "listen on every address, not only for this machine: --listen 0.0.0.0:{}",
            listen.port()
        )),
        (_, Some(seen)) if listen.is_ipv4() && seen.is_ipv6() => {
            Some(format!("listen for IPv6, too: --listen [::]:{}", listen.port()))
        }
        (Reach::Other, _) => Some(format!(
            "forward TCP port {port} to this machine's port {} on the router, or take another one with --listen, and \
             --announce IP:PORT if it is another one outside",
            listen.port()
        )),
        (Reach::Refused | Reach::Silent, _) => Some(format!(
            "let TCP connections to port {} in through this machine's firewall, and forward port {port} to it on the \
             router",
            listen.port()
        )),
    };
    (said, note)
}

/// Whether an address belongs to this machine or to a network that the Internet does not lead to.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(listen: &str, address: &str, reach: Reach, expected: Expect) {
        let (listen, address) = (listen.parse().unwrap(), address.to_owned());
        let checked = PortCheck { listen, port: 7601, address, tracker: "t:7500".to_owned(), reach };
        let (said, note) = words(&checked);
        expected.assert_eq(&format!("{}\n{}", said.replace(PRICE, "PRICE"), note.unwrap_or_default()));
    }

    #[test]
    fn each_finding_has_a_way_out() {
        let all = "0.0.0.0:7600";
        check(
            all,
            "192.0.2.1:7601",
            Reach::Device,
            expect![[r#"
            The tracker t:7500 can connect to this device at 192.0.2.1:7601
        "#]],
        );
        check(
            all,
            "192.168.2.1:7601",
            Reach::Device,
            expect![[r#"
            The tracker t:7500 can connect to this device at 192.168.2.1:7601
            it is on this machine or in its network: a router may still keep out members elsewhere"#]],
        );
        check(
            all,
            "[fd00::1]:7601",
            Reach::Device,
            expect![[r#"
            The tracker t:7500 can connect to this device at [fd00::1]:7601
            it is on this machine or in its network: a router may still keep out members elsewhere"#]],
        );
        check(
            all,
            "192.0.2.1:7601",
            Reach::Refused,
            expect![[r#"
            The tracker t:7500 was refused at 192.0.2.1:7601, PRICE
            let TCP connections to port 7600 in through this machine's firewall, and forward port 7601 to it on the router"#]],
        );
        check(
            all,
            "192.0.2.1:7601",
            Reach::Silent,
            expect![[r#"
            The tracker t:7500 got no answer at 192.0.2.1:7601, PRICE
            let TCP connections to port 7600 in through this machine's firewall, and forward port 7601 to it on the router"#]],
        );
        check(
            all,
            "192.0.2.1:7601",
            Reach::Other,
            expect![[r#"
            Something else than this device answers the tracker t:7500 at 192.0.2.1:7601, PRICE
            forward TCP port 7601 to this machine's port 7600 on the router, or take another one with --listen, and --announce IP:PORT if it is another one outside"#]],
        );
        check(
            all,
            "[2001:db8::1]:7601",
            Reach::Refused,
            expect![[r#"
            The tracker t:7500 was refused at [2001:db8::1]:7601, PRICE
            listen for IPv6, too: --listen [::]:7600"#]],
        );
        check(
            "127.0.0.1:7600",
            "192.0.2.1:7601",
            Reach::Refused,
            expect![[r#"
            The tracker t:7500 was refused at 192.0.2.1:7601, PRICE
            listen on every address, not only for this machine: --listen 0.0.0.0:7600"#]],
        );
        check(
            "127.0.0.1:7600",
            "127.0.0.1:7601",
            Reach::Refused,
            expect![[r#"
            The tracker t:7500 was refused at 127.0.0.1:7601, PRICE
            let TCP connections to port 7600 in through this machine's firewall, and forward port 7601 to it on the router"#]],
        );
    }
}
