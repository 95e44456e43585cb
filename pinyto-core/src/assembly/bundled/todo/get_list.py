return {"result": db.find({"type": "todo"}, sorting="data.priority", sort_direction="asc")}
