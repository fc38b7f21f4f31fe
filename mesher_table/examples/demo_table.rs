//! Writes a small table without a lease: `cargo run -p mesher_table --example demo_table -- FILE`.

use std::net::{Ipv4Addr, Ipv6Addr};

use mesher_table::{Contents, Deadline, Entry, TableWriter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("expected the table's path")?;
    let earth = Entry {
        name: "Earth.sol".into(),
        canonical: None,
        v4: vec![Ipv4Addr::new(192, 168, 1, 1), Ipv4Addr::new(192, 168, 1, 11)],
        v6: vec!["2001:db8:1::1".parse::<Ipv6Addr>()?.into()],
        ttl_s: 60,
    };
    let short = Entry { name: "earth".into(), canonical: Some(earth.name.clone()), ..earth.clone() };
    let wild = Entry { name: "*.earth.sol".into(), ..earth.clone() };
    let mars = Entry { name: "mars.sol".into(), v4: Vec::new(), ..earth.clone() };
    let contents = Contents { entries: vec![earth, short, wild, mars], contain: vec!["sol".into()] };
    let published = TableWriter::open_or_create(path)?.publish(&contents, Deadline::NEVER)?;
    println!("generation {}, {} bytes", published.generation, published.bytes);
    Ok(())
}
