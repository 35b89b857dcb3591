"""Re-identification: is this the person, vehicle or animal that another camera saw?"""
