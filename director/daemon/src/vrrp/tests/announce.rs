use super::*;

const MAC: Mac = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn gratuitous_arp_request() {
    let expected = "ffffffffffff 021122334455 0806 0001 0800 06 04 0001
        021122334455 c0a80101 000000000000 c0a80101";
    assert_eq!(arp(Arp::Request, MAC, Ipv4Addr::new(192, 168, 1, 1)), bytes(expected));
}

#[test]
fn gratuitous_arp_reply() {
    let expected = "ffffffffffff 021122334455 0806 0001 0800 06 04 0002
        021122334455 c0a80101 021122334455 c0a80101";
    assert_eq!(arp(Arp::Reply, MAC, Ipv4Addr::new(192, 168, 1, 1)), bytes(expected));
}

#[test]
fn unsolicited_neighbour_advertisement() {
    let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let expected = "333300000001 021122334455 86dd
        60000000 0020 3a ff 20010db8000000000000000000000001 ff020000000000000000000000000001
        88 00 SUM1 20000000 20010db8000000000000000000000001 02 01 021122334455";
    let frame = neighbour_advertisement(MAC, address, false);
    assert_eq!(frame.len(), 86);
    let sum = u16::from_be_bytes([frame[56], frame[57]]);
    assert_eq!(frame, bytes(&expected.replace("SUM1", &format!("{sum:04x}"))));
    // The receiver's test (RFC 1071): the sum over the pseudo-header and the message is all ones.
    assert_eq!(icmpv6_checksum(address, ALL_NODES, &frame[54..]), 0);
}

#[test]
fn a_router_says_so() {
    let address: Ipv6Addr = "fe80::1".parse().unwrap();
    assert_eq!(neighbour_advertisement(MAC, address, true)[58], ROUTER | OVERRIDE);
}
