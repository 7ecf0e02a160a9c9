//! Runs every walk once and prints what it found, and how long it took.
use std::time::Instant;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let t = Instant::now();
    let mut w = match kernel::Walks::load() {
        Ok(w) => w,
        Err(kernel::Error::Load { log, source, needs }) => {
            println!("{needs:?} {source}\n{log}");
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    println!(
        "load {:?} level {} own {:?}",
        t.elapsed(),
        w.pid_namespace_level(),
        w.own()
    );
    let t = Instant::now();
    let o = w.objects()?;
    println!(
        "objects {:?} maps {} progs {} links {} btfs {}",
        t.elapsed(),
        o.maps.len(),
        o.progs.len(),
        o.links.len(),
        o.btfs.len()
    );
    for m in &o.maps {
        println!("{m:?}");
    }
    for m in &o.progs {
        println!("{m:?}");
    }
    for m in &o.links {
        println!("{m:?}");
    }
    for m in &o.btfs {
        println!("{m:?}");
    }
    let t = Instant::now();
    let f = w.files()?;
    println!("files {:?} {}", t.elapsed(), f.descriptors);
    println!("{f:?}");
    let t = Instant::now();
    let p = w.pins();
    println!("pins {:?}", t.elapsed());
    match p {
        Ok(p) => println!("{p:?}"),
        Err(kernel::Error::Load { log, source, needs }) => println!("{needs:?} {source}\n{log}"),
        Err(e) => println!("{e}"),
    }
    let t = Instant::now();
    let p = w.slots(o.maps.iter())?;
    println!("slots {:?} {p:?}", t.elapsed());
    let t = Instant::now();
    let p = w.mappings()?;
    println!("mappings {:?} {p:?}", t.elapsed());
    Ok(())
}
