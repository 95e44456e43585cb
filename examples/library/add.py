# A new book; one with the same ISBN is counted, not added again.
book = request.json.get("book")
if not isinstance(book, dict) or not book.get("isbn"):
    return {"error": "Send a book with an isbn."}
known = db.find_documents({"type": "book", "data.isbn": book["isbn"]}, limit=1)
if known:
    known[0]["data"]["copies"] = known[0]["data"].get("copies", 1) + 1
    return {"success": True, "_id": db.save(known[0])}
book.setdefault("copies", 1)
return {"success": True, "_id": db.insert({"type": "book", "data": book})}
