document = request.json.get("document")
if not isinstance(document, dict):
    return {"error": "Send the entry to save as an object."}
document["type"] = "todo"
if not document.get("_id"):
    return {"success": True, "_id": db.insert(document)}
stored = db.find_document_for_id(document["_id"])
if stored is None or stored.get("type") != "todo":
    return {"error": "There is no entry with this _id."}
return {"success": True, "_id": db.save(document)}
