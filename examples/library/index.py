# A page of all books by title.
skip = request.json.get("skip", 0)
books = db.find({"type": "book"}, skip=skip, limit=50, sorting="data.title")
return {"index": books, "count": db.count({"type": "book"})}
