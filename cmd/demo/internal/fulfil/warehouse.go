package fulfil

import "fmt"

// Article is how much there is of an article. OnHand + Reserved + Shipped = Initial + Received, always.
type Article struct {
	Initial  int64
	Received int64
	OnHand   int64
	Reserved int64
	Shipped  int64

	Asked   int64 // for, by all orders so far
	Ordered int64 // from the supplier, received or not
	Alerts  int64
}

// Hold is what is reserved for an order.
type Hold struct {
	AmountMilli int64
	Items       []Item
}

// Warehouse decides what can be reserved, and is the fold of what was decided.
type Warehouse struct {
	Articles map[string]Article
	Holds    map[string]Hold // by order
}

// NewWarehouse returns one in which there is the initial stock of everything.
func NewWarehouse() *Warehouse {
	return &Warehouse{Articles: map[string]Article{}, Holds: map[string]Hold{}}
}

// Article returns what there is of an article.
func (w *Warehouse) Article(stock string) Article {
	a, ok := w.Articles[stock]
	if !ok {
		a = Article{Initial: initial, OnHand: initial}
	}
	return a
}

// Has tells whether all items are on hand.
func (w *Warehouse) Has(items []Item) bool {
	for _, i := range Total(items) {
		if w.Article(i.Stock).OnHand < i.Quantity {
			return false
		}
	}
	return true
}

// Low returns the lots that must be ordered when items are asked for.
func (w *Warehouse) Low(items []Item) []LowStock {
	var low []LowStock
	for _, i := range Total(items) {
		a := w.Article(i.Stock)
		left := a.Initial + a.Ordered - a.Asked - i.Quantity
		if left >= lowMark {
			continue
		}
		n := (lowMark - left + lot - 1) / lot * lot
		low = append(low, LowStock{Stock: i.Stock, Left: left, Lot: n})
	}
	return low
}

// ErrHold reports an event about an order that contradicts those before it.
var ErrHold = fmt.Errorf("fulfil: the warehouse has another hold")

// Apply folds an event in. Events that are not the warehouse's change nothing.
func (w *Warehouse) Apply(e Event) error {
	change := func(stock string, fn func(*Article)) {
		a := w.Article(stock)
		fn(&a)
		w.Articles[stock] = a
	}
	asked := func(items []Item, attempt int) {
		if attempt > 0 {
			return
		}
		for _, i := range items {
			change(i.Stock, func(a *Article) { a.Asked += i.Quantity })
		}
	}
	switch e := e.(type) {
	case StockReserved:
		if _, ok := w.Holds[e.Order]; ok {
			return fmt.Errorf("%w: %s is reserved twice", ErrHold, e.Order)
		}
		asked(e.Items, e.Attempt)
		for _, i := range e.Items {
			change(i.Stock, func(a *Article) { a.OnHand -= i.Quantity; a.Reserved += i.Quantity })
		}
		w.Holds[e.Order] = Hold{e.AmountMilli, e.Items}
	case StockShort:
		asked(e.Items, e.Attempt)
	case StockReleased:
		for _, i := range e.Items {
			change(i.Stock, func(a *Article) { a.OnHand += i.Quantity; a.Reserved -= i.Quantity })
		}
		delete(w.Holds, e.Order)
	case OrderShipped:
		for _, i := range e.Items {
			change(i.Stock, func(a *Article) { a.Reserved -= i.Quantity; a.Shipped += i.Quantity })
		}
		delete(w.Holds, e.Order)
	case LowStock:
		change(e.Stock, func(a *Article) { a.Ordered += e.Lot; a.Alerts++ })
	case GoodsReceived:
		change(e.Stock, func(a *Article) { a.Received += e.Quantity; a.OnHand += e.Quantity })
	}
	return nil
}
