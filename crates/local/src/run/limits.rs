//! Rate limits.

use peerage_node::client::{GroupRef, LimitChange, LimitLine, Node, Rates, Refusal};

use crate::reply::{Done, Item, human, model};

pub(super) async fn set(node: &Node, group: Option<&GroupRef>, change: LimitChange) -> Result<Done, Refusal> {
    let line = node.set_limits(group, change).await?;
    let done = Done { items: Some(vec![item(&line)]), ..Done::say("Limits set") };
    Ok(done.next("`show_limits` lists all"))
}

pub(super) async fn show(node: &Node) -> Result<Done, Refusal> {
    let limits = node.show_limits().await?;
    Ok(Done::list(limits.iter().map(item).collect(), "limit", ""))
}

fn item(line: &LimitLine) -> Item {
    let whose = line.group.as_deref().unwrap_or("everything");
    Item::new(format!("{whose}\t{}", words(&line.rates)), None, &model::Limit::from(line))
}

/// `down 2.00 MiB/s, up unlimited`.
fn words(rates: &Rates) -> String {
    format!("down {}, up {}", human::limit(rates.down), human::limit(rates.up))
}
