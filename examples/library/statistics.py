# How many books there are, and where.
places = db.find_distinct({"type": "book"}, "data.place")
return {
    "books": db.count({"type": "book"}),
    "lent": db.count({"type": "book", "data.lent_to": {"$nin": [None, ""]}}),
    "places": {place: db.count({"type": "book", "data.place": place}) for place in places},
    "oldest": min((book["data"]["year"] for book in db.find({"data.year": {"$type": "number"}})), default=None),
}
