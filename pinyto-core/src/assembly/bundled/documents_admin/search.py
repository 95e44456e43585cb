query = request.json.get("query", {})
skip = request.json.get("skip", 0)
count = request.json.get("count", 42)
if not isinstance(query, dict):
    return {"error": "The query has to be an object."}
if type(skip) is not int or type(count) is not int or skip < 0 or count < 0:
    return {"error": "skip and count have to be whole numbers that are not negative."}
return {"result": db.find(query, skip=skip, limit=count)}
