//! The whole way of a topology, for tests and for fuzzing.

use fairway_gen::render::Renderer;
use fairway_gen::{Plans, Topology, diagram, explain};

/// Whatever the text, there is a report or a topology; and a topology without a broken rule can always be rendered,
/// which also means that the director takes what it is given.
pub fn load_and_render(text: &str) {
    let (report, topology) = match Topology::load("topology.toml", text) {
        Ok((topology, warnings)) => (warnings, Some(topology)),
        Err(report) => {
            assert!(report.errors() > 0, "refused without a reason:\n{text}");
            (report, None)
        }
    };
    report.render(miette::GraphicalTheme::none(), 80);
    let Some(topology) = topology else { return };
    diagram::svg(&topology);
    diagram::mermaid(&topology);
    for name in topology.services.keys().chain(topology.virtual_ips.keys()) {
        for subject in explain::subjects(&topology, name) {
            explain::explain(&topology, subject).expect("what there is can be explained");
        }
    }
    let plans = Plans::new(&topology);
    let renderer = Renderer::new();
    for host in plans.hosts() {
        let plan = plans.host(host).expect("it is a host");
        if let Err(error) = renderer.files(&plan) {
            panic!("{error}\n{text}");
        }
    }
}
