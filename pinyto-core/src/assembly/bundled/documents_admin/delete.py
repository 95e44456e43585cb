document = request.json.get("document")
if not isinstance(document, dict) or not document.get("_id"):
    return {"error": "Send the document to delete as an object with its _id."}
db.remove(document)
return {"success": True}
