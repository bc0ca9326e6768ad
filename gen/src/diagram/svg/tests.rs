use super::*;

fn topology(text: &str) -> Topology {
    let loaded = Topology::load("topology.toml", text);
    loaded.unwrap_or_else(|r| panic!("{}", r.render(miette::GraphicalTheme::none(), 100))).0
}

/// Many hosts with two or three networks, long names, many virtual IPs and services.
fn crowd() -> Topology {
    let mut text = String::from(
        "version = 1\n[cluster]\nname = \"crowd\"\n\
         [networks.public]\nsubnets = [\"10.0.0.0/16\"]\n[networks.servers]\nsubnets = [\"10.1.0.0/16\"]\n\
         [networks.storage]\nsubnets = [\"10.2.0.0/16\", \"fd00:2::/64\"]\n",
    );
    for n in 1..=3 {
        text += &format!(
            "[hosts.director-{n}]\ninterfaces.eth0 = {{ network = \"public\", addresses = [\"10.0.9.{n}\"] }}\n\
             interfaces.eth1 = {{ network = \"servers\", addresses = [\"10.1.9.{n}\"] }}\n\
             interfaces.eth2 = {{ network = \"storage\", addresses = [\"10.2.9.{n}\", \"fd00:2::9:{n}\"] }}\n"
        );
    }
    for n in 0..200 {
        let long = if n == 7 { "-with-a-name-that-is-as-long-as-names-can-be-in-a-topo" } else { "" };
        let (third, fourth) = (n / 100, n % 100 + 1);
        text += &format!(
            "[hosts.web{n}{long}]\ninterfaces.enp0s31f6 = {{ network = \"servers\", addresses = [\"10.1.{third}.{fourth}\"] }}\n\
             interfaces.eth2 = {{ network = \"storage\", addresses = [\"10.2.{third}.{fourth}\"] }}\n"
        );
    }
    text += "[virtual-ips]\ninside = \"10.1.200.1\"\n";
    for n in 0..60 {
        text += &format!("vip{n} = \"10.0.200.{}\"\n", n + 1);
    }
    let names: Vec<String> = (0..60).map(|n| format!("\"vip{n}\"")).collect();
    text += &format!(
        "[failover.edge]\nvirtual-ips = [\"inside\", {}]\ndirectors = [\"director-1\", \"director-2\", \"director-3\"]\n",
        names.join(", ")
    );
    for n in 0..60 {
        text +=
            &format!("[services.service-{n}]\nlisten = [\"vip{n}:80\", \"vip{n}:443\"]\nforward = \"nat\"\n");
        for s in (n..200).step_by(13).filter(|s| *s != 7) {
            text += &format!("real-servers.web{s} = {{}}\n");
        }
    }
    topology(&text)
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

fn inside(outer: &Rect, inner: &Rect) -> bool {
    outer.x <= inner.x
        && inner.right() <= outer.right()
        && outer.y <= inner.y
        && inner.bottom() <= outer.bottom()
}

#[test]
fn nothing_overlaps_and_text_stays_in_its_box() {
    let small = include_str!("../../../tests/golden/everything/topology.toml");
    for topology in [topology(small), crowd()] {
        let canvas = draw(&topology);
        let placed = &canvas.placed;
        assert!(placed.len() > topology.hosts.len() + topology.services.len() + topology.networks.len());
        for (n, a) in placed.iter().enumerate() {
            for b in &placed[n + 1..] {
                assert!(!overlap(a, b), "{a:?} and {b:?}");
            }
        }
        let mut free = 0;
        for text in &canvas.texts {
            if placed.iter().any(|b| overlap(b, text)) {
                assert!(placed.iter().any(|b| inside(b, text)), "{text:?} leaves its box");
            } else {
                free += 1;
            }
        }
        // The legend and what is routed from elsewhere.
        assert!(free < 10, "{free} texts in no box");
        for (n, a) in canvas.texts.iter().enumerate() {
            for b in &canvas.texts[n + 1..] {
                assert!(!overlap(a, b), "texts {a:?} and {b:?}");
            }
        }
    }
}

#[test]
fn the_picture_is_well_formed_and_the_same_each_time() {
    let topology = crowd();
    let picture = svg(&topology);
    assert_eq!(picture, svg(&topology));
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    for name in topology.hosts.keys().filter(|n| n.len() < 20).chain(topology.services.keys()) {
        assert!(picture.contains(&format!(">{name}</text>")), "{name}");
    }
    assert_eq!(picture.matches("<text").count(), picture.matches("</text>").count());
}

#[test]
fn topologies_without_hosts_or_networks_have_a_picture() {
    let empty = topology("version = 1\n[cluster]\nname = \"empty\"\n");
    assert!(svg(&empty).contains("cluster empty"));
    assert!(super::super::mermaid(&empty).starts_with("flowchart LR\n"));
}
