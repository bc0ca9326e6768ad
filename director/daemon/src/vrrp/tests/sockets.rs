use super::*;

/// An IPv4 datagram with `options` words of options and `payload`.
fn datagram(options: usize, payload: &[u8]) -> Vec<u8> {
    let header = 20 + 4 * options;
    let total = u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0; header];
    bytes[0] = 0x40 | u8::try_from(header / 4).unwrap();
    bytes[2..4].copy_from_slice(&total);
    (bytes[8], bytes[9]) = (255, VRRP);
    bytes[12..16].copy_from_slice(&[10, 0, 0, 1]);
    bytes[16..20].copy_from_slice(&[224, 0, 0, 18]);
    bytes.extend(payload);
    bytes
}

#[test]
fn splits_header_and_payload() {
    let bytes = datagram(0, &[1, 2, 3]);
    let (header, payload) = split_v4(&bytes, Wire::Vrrp).unwrap();
    assert_eq!(payload, [1, 2, 3]);
    let expected = Header {
        source: Ipv4Addr::new(10, 0, 0, 1).into(),
        destination: Ipv4Addr::new(224, 0, 0, 18).into(),
        ttl: 255,
        carrier: Carrier::Vrrp,
    };
    assert_eq!(header, expected);
}

#[test]
fn skips_options_and_padding() {
    let mut bytes = datagram(2, &[7; 16]);
    bytes.extend([0; 10]);
    assert_eq!(split_v4(&bytes, Wire::Vrrp).unwrap().1, [7; 16]);
}

#[test]
fn refuses_every_truncation() {
    let bytes = datagram(1, &[7; 16]);
    for length in 0..bytes.len() {
        assert!(split_v4(&bytes[..length], Wire::Vrrp).is_none(), "{length} bytes");
    }
}

#[test]
fn refuses_headers_that_make_no_sense() {
    for (at, value) in [(0, 0x65), (0, 0x44), (0, 0x4f), (3, 19), (3, 255), (9, 17)] {
        let mut bytes = datagram(0, &[0; 8]);
        bytes[at] = value;
        assert!(split_v4(&bytes, Wire::Vrrp).is_none(), "byte {at} = {value}");
    }
}

#[test]
fn an_authentication_header_comes_with_what_it_covers() {
    let mut bytes = header_v4(7, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 18)).to_vec();
    bytes[3] = 22;
    bytes.extend([1, 2, 3]); // one byte of padding
    let (header, payload) = split_v4(&bytes, Wire::Header).unwrap();
    assert_eq!((header.carrier, header.ttl), (Carrier::Header { identification: 7 }, 255));
    assert_eq!(payload, [1, 2]);
    assert!(split_v4(&bytes, Wire::Vrrp).is_none());
    // With options.
    bytes[0] = 0x46;
    bytes[3] = 24;
    bytes.extend([0; 4]);
    assert!(split_v4(&bytes, Wire::Header).is_none());
}
