println "before"
def = 1
