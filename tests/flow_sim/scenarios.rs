//! The workloads.

use super::random::Random;
use super::truth::{Crash, Node, Scenario};

pub const HALF: fn(&mut Random) -> f64 = |random| random.exponential(0.5);
pub const FOUR: Node = Node {
    processes: 4,
    prefetch: 0,
};

pub fn scenario(name: &'static str, secs: f64, nodes: Vec<Node>, arrivals: Vec<f64>) -> Scenario {
    Scenario {
        name,
        arrivals: arrivals.into_iter().map(|at| (at, 0)).collect(),
        nodes,
        service: HALF,
        secs,
        crashes: Vec::new(),
        purges: Vec::new(),
        levels: 1,
        stamped: false,
        idle_until: 0.0,
        countdown: 0.0,
    }
}

/// The workloads, `secs` long each.
pub fn scenarios(secs: f64) -> Vec<Scenario> {
    let mut random = Random::new(1);
    let mut all = Vec::new();
    for (name, rho) in [
        ("rho 0.5", 0.5),
        ("rho 0.8", 0.8),
        ("rho 0.95", 0.95),
        ("rho 0.99", 0.99),
    ] {
        let arrivals = random.poisson(secs, 8.0, |_| 8.0 * rho);
        all.push(scenario(name, secs, vec![FOUR], arrivals));
    }
    let arrivals = random.poisson(secs, 24.0, |t| if t % 300.0 < 60.0 { 24.0 } else { 2.0 });
    all.push(Scenario {
        stamped: true,
        ..scenario("on/off, stamped", secs, vec![FOUR], arrivals.clone())
    });
    all.push(scenario("on/off", secs, vec![FOUR], arrivals));

    let mut arrivals = random.poisson(secs, 12.0, |_| 12.0);
    for at in [secs / 12.0 + 1.3, secs * 0.41 + 1.7] {
        arrivals.extend((0..10_000).map(|_| at + 2.0 * random.share()));
    }
    arrivals.sort_by(f64::total_cmp);
    let twenty = Node {
        processes: 20,
        prefetch: 0,
    };
    all.push(scenario("fan-out 10,000", secs, vec![twenty], arrivals));

    let wave = |t: f64| 8.0 * (0.7 + 0.55 * (std::f64::consts::TAU * t / secs * 2.0).sin());
    let arrivals = random.poisson(secs, 10.0, wave);
    all.push(scenario("diurnal", secs, vec![FOUR], arrivals));

    let arrivals = random.poisson(secs, 6.8, |_| 6.8);
    all.push(Scenario {
        service: |random| random.pareto(0.5),
        ..scenario("heavy tail", secs, vec![FOUR], arrivals)
    });

    let short = secs / 12.0;
    let arrivals = random.poisson(
        short,
        990.0,
        |t| if t % 200.0 < 150.0 { 990.0 } else { 900.0 },
    );
    let many = Node {
        processes: 96,
        prefetch: 0,
    };
    all.push(Scenario {
        service: |random| random.exponential(0.1),
        ..scenario("990 msg/s", short, vec![many], arrivals)
    });

    let arrivals = random.poisson(secs, 9.0, |t| {
        if t % (secs / 4.0) < secs / 5.0 {
            9.0
        } else {
            2.0
        }
    });
    all.push(Scenario {
        purges: vec![secs * 0.19, secs * 0.68],
        ..scenario("purge", secs, vec![FOUR], arrivals)
    });

    let arrivals = random.poisson(secs, 7.6, |_| 7.6);
    let holding = Node {
        processes: 2,
        prefetch: 8,
    };
    let crashes = (0..)
        .map(|n| 300.0 + 300.0 * f64::from(n))
        .take_while(|at| *at < secs);
    all.push(Scenario {
        crashes: crashes
            .map(|at| Crash {
                at,
                node: 0,
                back_after: 2.0,
                up_after: 30.0,
            })
            .collect(),
        ..scenario("crash + requeue", secs, vec![holding, holding], arrivals)
    });

    let outage = secs * 5.0;
    let arrivals = random.poisson(outage + secs, 1.0, |_| 1.0);
    all.push(Scenario {
        idle_until: outage,
        ..scenario("outage", outage + secs, vec![FOUR], arrivals)
    });

    let arrivals = random.poisson(secs, 1.9, |t| if t % 1200.0 < 400.0 { 1.9 } else { 1.2 });
    let holding = Node {
        processes: 4,
        prefetch: 16,
    };
    all.push(Scenario {
        service: |random| random.exponential(5.0),
        ..scenario("prefetch 4x", secs, vec![holding, holding], arrivals)
    });

    let arrivals = random.poisson(secs, 7.6, |_| 7.6);
    let holding = Node {
        processes: 2,
        prefetch: 8,
    };
    all.push(Scenario {
        countdown: 45.0,
        ..scenario("20 % due later", secs, vec![holding, holding], arrivals)
    });

    let levels: Vec<(f64, usize)> = random
        .poisson(secs, 7.7, |_| 7.7)
        .into_iter()
        .map(|at| (at, random.pick(&[0, 1, 1, 2]).unwrap()))
        .collect();
    all.push(Scenario {
        arrivals: levels,
        levels: 3,
        ..scenario("priorities", secs, vec![FOUR], Vec::new())
    });
    all
}
