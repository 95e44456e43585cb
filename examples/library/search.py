# Books in which a text occurs anywhere, in capitals or not.
FIELDS = ["isbn", "title", "author", "publisher", "place", "tags"]
try:
    text = re.escape(request.json["text"])
except (KeyError, TypeError):
    return {"error": "Send a text to search for."}
conditions = [{f"data.{field}": {"$regex": text, "$options": "i"}} for field in FIELDS]
found = db.find({"type": "book", "$or": conditions}, limit=42, sorting="data.title")
return json.dumps({"result": found})
