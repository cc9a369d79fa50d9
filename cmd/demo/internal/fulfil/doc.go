// Package fulfil is what the shop does with an accepted order: reserve its goods, take the money, send the parcel, tell
// the customer, and undo all of that in reverse order where a step fails. It is pure: types, rules and folds, without
// engine, clock or network.
//
//	OrderOpened ─▶ ReserveStock ─▶ StockReserved ─▶ ChargeCard ─▶ PaymentTaken ─▶ ShipOrder ─▶ OrderShipped
//	                    │                                │                            │            │
//	            ReservationFailed                 PaymentDeclined              ShippingFailed   SendMail
//	                    │                                │                            │            │
//	                    │                          ReleaseStock ◀── PaymentRefunded ◀── RefundCard  │
//	                    ▼                                ▼                                    NotificationSent
//	             OrderCancelled ◀──────────────── StockReleased                                     ▼
//	                                                                                         OrderCompleted
//	                                                                                                ▼
//	                                                                                           ReviewAsked
//
// # What becomes of an order depends on the order
//
// Whether an order is reserved, paid and shipped follows from its own content and from what the gateway says, never
// from what else happens at the time. Goods that run short are ordered by what was asked for, whatever is released
// later, and an order that has to wait for them asks again. So however the events of different orders
// interleave, and whoever directs them, the same orders lead to the same state: see State.Hash.
package fulfil
