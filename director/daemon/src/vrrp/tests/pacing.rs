use super::*;

fn spot(interface: &str, last: u8) -> Spot {
    Spot { interface: interface.to_owned(), address: [10, 0, 0, last].into(), prefix: 32 }
}

#[test]
fn one_address_at_a_time_on_each_interface() {
    let (mut pacer, start) = (Pacer::default(), Instant::now());
    let (owner, pacing) = (("edge".to_owned(), "lan".to_owned()), Duration::from_millis(5));
    for spot in [spot("eth0", 1), spot("eth0", 2), spot("eth1", 3), spot("eth0", 1)] {
        pacer.push(start, &owner, spot, pacing);
    }
    assert_eq!(pacer.next_deadline(), Some(start));
    let due = |pacer: &mut Pacer, after: u32| -> Vec<Spot> {
        let now = start + Duration::from_millis(1) * after;
        pacer.due(now).into_iter().map(|(_, spot)| spot).collect()
    };
    assert_eq!(due(&mut pacer, 0), [spot("eth0", 1), spot("eth1", 3)]);
    assert_eq!(pacer.next_deadline(), Some(start + pacing));
    assert!(due(&mut pacer, 4).is_empty());
    assert_eq!(due(&mut pacer, 5), [spot("eth0", 2)]);
    assert_eq!(pacer.next_deadline(), None);
    // A new one still waits for the pause after the last.
    pacer.push(start + pacing, &owner, spot("eth0", 4), pacing);
    assert_eq!(pacer.next_deadline(), Some(start + 2 * pacing));
    assert_eq!(due(&mut pacer, 10), [spot("eth0", 4)]);
    assert!(due(&mut pacer, 15).is_empty());
    assert!(pacer.0.is_empty());
}
