//! The main job's three machines.

use super::World;

pub const NAMES: [&str; 8] = ["mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune"];

pub fn planets() -> World {
    World::new(&[
        ("alpha", &["mercury", "venus", "earth"]),
        ("beta", &["mars", "jupiter"]),
        ("gamma", &["earth", "saturn", "uranus", "neptune"]),
    ])
}

pub fn all_up() -> World {
    let mut world = planets();
    world.boot_founder("alpha");
    world.run(6_000);
    world.boot("beta");
    world.boot("gamma");
    world.run(3_000);
    world
}

pub fn expected(name: &str) -> &'static str {
    match name {
        "mercury" | "venus" | "earth" => "alpha",
        "mars" | "jupiter" => "beta",
        _ => "gamma",
    }
}

#[track_caller]
pub fn assert_sees(world: &World, on: &str, name: &str, holder: Option<&str>) {
    assert_eq!(world.lookup(on, name).as_deref(), holder, "{name} as {on} sees it");
}
