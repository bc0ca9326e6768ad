//! Virtual router identifiers: one for each group and network, equal on all directors because there is only
//! this one place that chooses them.
//!
//! A number follows from the names of cluster, group and network, so that two clusters on one network rarely
//! choose the same, and is moved on to the next free one where another group of the network has it. Groups
//! are served in the order of the file after all numbers given by hand: adding a group at the end changes no
//! other group's number.

use std::collections::HashMap;

/// The numbers taken in each network.
#[derive(Debug, Default)]
pub struct Vrids<'a> {
    taken: HashMap<&'a str, [Option<&'a str>; 256]>,
}

impl<'a> Vrids<'a> {
    /// Takes a given number for a group; the group that has it already otherwise.
    pub fn take(&mut self, network: &'a str, group: &'a str, vrid: u8) -> Result<(), &'a str> {
        let slot = &mut self.taken.entry(network).or_insert([None; 256])[usize::from(vrid)];
        match slot {
            Some(other) if *other != group => Err(other),
            _ => {
                *slot = Some(group);
                Ok(())
            }
        }
    }

    /// Chooses a free number; none if all 255 are taken.
    pub fn choose(&mut self, cluster: &str, network: &'a str, group: &'a str) -> Option<u8> {
        let hash = fnv1a([cluster, "\0", group, "\0", network]);
        let start = hash % 255;
        (0..255)
            .map(|step| u8::try_from((start + step) % 255 + 1).expect("1 to 255"))
            .find(|vrid| self.take(network, group, *vrid).is_ok())
    }
}

/// FNV-1a, 32 bits: the same on every machine and in every release.
pub(super) fn fnv1a<'s>(parts: impl IntoIterator<Item = &'s str>) -> u32 {
    parts
        .into_iter()
        .flat_map(str::bytes)
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_distinct_and_run_out_at_255() {
        let names: Vec<String> = (0..256).map(|n| format!("group{n}")).collect();
        let mut vrids = Vrids::default();
        let chosen: Vec<u8> = names[..255].iter().map(|g| vrids.choose("shop", "lan", g).unwrap()).collect();
        let distinct: std::collections::BTreeSet<u8> = chosen.iter().copied().collect();
        assert_eq!((distinct.len(), distinct.first(), distinct.last()), (255, Some(&1), Some(&255)));
        assert_eq!(vrids.choose("shop", "lan", &names[255]), None);
        assert!(vrids.choose("shop", "other", &names[255]).is_some());
    }

    #[test]
    fn a_number_given_by_hand_is_kept_free() {
        let free = Vrids::default().choose("shop", "lan", "edge").unwrap();
        let mut vrids = Vrids::default();
        vrids.take("lan", "fixed", free).unwrap();
        assert_ne!(vrids.choose("shop", "lan", "edge"), Some(free));
        assert_eq!(vrids.take("lan", "again", free), Err("fixed"));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(["foobar"]), 0xbf9c_f968);
    }
}
