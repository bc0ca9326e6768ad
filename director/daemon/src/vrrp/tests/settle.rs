use super::*;

const VIP: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);

/// The payload of a route message: `struct rtmsg` and its attributes.
fn route(table: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut payload = vec![10, 128, 0, 0, table, 2, 0, 2, 0, 0, 0, 0];
    for (kind, value) in attributes {
        payload.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        payload.extend(kind.to_ne_bytes());
        payload.extend(*value);
    }
    payload
}

#[test]
fn reads_local_routes_only() {
    let index = 7_u32.to_ne_bytes();
    let octets = VIP.octets();
    let attributes: [(u16, &[u8]); 2] = [(RTA_DST, &octets), (RTA_OIF, &index)];
    assert_eq!(local_route(&route(255, &attributes)), Some((7, VIP)));
    assert_eq!(local_route(&route(254, &attributes)), None, "the route to the prefix");
    assert_eq!(local_route(&route(255, &attributes[..1])), None, "no interface");
    assert_eq!(local_route(&route(255, &attributes[1..])), None, "the default route");
    assert_eq!(local_route(&route(255, &[(RTA_DST, &[10, 0, 0, 1]), attributes[1]])), None, "IPv4");
    assert_eq!(local_route(&[10, 128]), None, "cut short");
}

#[test]
fn waits_for_ipv6_additions_only() {
    let change = |add, address: IpAddr| Change { add, index: 7, address, prefix: 32 };
    assert_eq!(place(&change(true, VIP.into())), Some((7, VIP)));
    assert_eq!(place(&change(false, VIP.into())), None);
    assert_eq!(place(&change(true, [10, 0, 0, 1].into())), None);
}

#[test]
fn gives_up_on_a_route_that_does_not_come() {
    let routes = LocalRoutes::subscribe().unwrap();
    let began = Instant::now();
    // Nothing adds this address: the interface does not exist.
    routes.wait(&[Change { add: true, index: u32::MAX, address: VIP.into(), prefix: 128 }]);
    assert!(began.elapsed() > LIMIT / 2, "it did not wait");
    routes.wait(&[]);
}
