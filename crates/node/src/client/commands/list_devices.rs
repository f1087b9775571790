//! `list_devices`.

use super::super::reply::DeviceLine;
use super::super::{Node, Refusal};

impl Node {
    /// The devices of the account, the first one first, removed ones included.
    pub async fn list_devices(&self) -> Result<Vec<DeviceLine>, Refusal> {
        let session = self.inner.session()?;
        session.sent_before().await;
        let view = match session.refresh_account().await {
            Ok(view) => view,
            // What is known has to do.
            Err(Refusal::NoTracker { .. }) => session.own.view(),
            Err(refusal) => return Err(refusal),
        };
        let mut devices: Vec<_> = view.devices.iter().collect();
        devices.sort_by_key(|(id, device)| (device.order, **id));
        let line = |(id, device): (&peerage_types::DeviceId, &peerage_ledger::Device)| DeviceLine {
            device: *id,
            label: device.label.clone(),
            // The certificate that this login wrote has no receipt here until the account was read back.
            since_unix_ms: Some(device.order)
                .filter(|order| *order != peerage_ledger::Order::LAST)
                .map(|order| order.stamp.unix_ms()),
            this: *id == session.device,
            removed: device.revoked.is_some(),
        };
        Ok(devices.into_iter().map(line).collect())
    }
}
